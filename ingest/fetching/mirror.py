"""Brings a folder up to what a server has: present files are left alone, the others are fetched one by one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ingest.fetching import download, plan
from ingest.fetching.download import DownloadFailed, NotThere, Policy
from ingest.fetching.plan import Wanted
from tickhub.core import clock
from tickhub.core.errors import UsageError

# So many files that fail one after the other say that the server is gone: the rest would fail as slowly.
_IN_A_ROW_MAX = 3


@dataclass(frozen=True, slots=True)
class Order:
    """What to mirror; the period is half-open, UTC milliseconds."""

    provider: str
    base_url: str
    symbols: Sequence[str]
    from_msc: int
    to_msc: int
    into: Path
    policy: Policy = field(default_factory=Policy)


@dataclass(slots=True)
class Outcome:
    """Counts of files, and the reasons of those that failed. ``not_over`` are those whose hour or month still runs."""

    wanted: int = 0
    fetched: int = 0
    present: int = 0
    missing: int = 0
    not_over: int = 0
    failed: int = 0
    not_tried: int = 0
    retries: int = 0
    size_bytes: int = 0
    elapsed_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Return whether nothing failed."""
        return not (self.failed or self.not_tried)

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the figures for ``--json``."""
        return asdict(self) | {"elapsed_s": round(self.elapsed_s, 3)}


def run(order: Order, *, progress: Callable[[Outcome], None], now_msc: int) -> Outcome:
    """Fetch what is not there yet; a second run goes on where the first one ended.

    :raises UsageError: if the base URL or a symbol cannot be used, or the folder cannot be written to
    """
    base = _base(order.base_url)
    wanted = _wanted(order)
    outcome = Outcome(wanted=len(wanted))
    started_s = clock.monotonic_s()
    in_a_row = 0
    for place, file in enumerate(wanted):
        if in_a_row >= _IN_A_ROW_MAX:
            outcome.not_tried = len(wanted) - place
            break
        before = outcome.failed
        _fetch(file, base, order, outcome, now_msc)
        in_a_row = in_a_row + 1 if outcome.failed > before else 0
        outcome.elapsed_s = clock.monotonic_s() - started_s
        progress(outcome)
    return outcome


def _wanted(order: Order) -> list[Wanted]:
    symbols = [plan.read_symbol(symbol) for symbol in order.symbols]
    files = plan.PROVIDERS[order.provider].files
    return [file for symbol in symbols for file in files(symbol, order.from_msc, order.to_msc)]


def _fetch(file: Wanted, base: str, order: Order, outcome: Outcome, now_msc: int) -> None:
    path = order.into / file.path
    if path.exists():
        outcome.present += 1
        return
    if file.ends_msc > now_msc:
        outcome.not_over += 1
        return

    def retried(_reason: str) -> None:
        outcome.retries += 1

    try:
        outcome.size_bytes += download.download(
            f"{base}/{quote(file.path)}",
            path,
            check=plan.PROVIDERS[order.provider].check,
            policy=order.policy,
            retried=retried,
        )
    except NotThere:
        outcome.missing += 1
    except DownloadFailed as error:
        outcome.failed += 1
        outcome.failures.append(str(error))
    else:
        outcome.fetched += 1


def _base(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise UsageError(f"--base-url {text}: expected http://HOST/PATH or https://HOST/PATH")
    return text.rstrip("/")
