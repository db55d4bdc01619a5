"""Steps of a batch through the pipeline, and what is there afterwards."""

from quality.models import Finding
from storage import reader
from storage.reader import Stored
from tests.builders import NOON_MSC
from tests.capturing import Rig
from tickhub import reconcile
from tickhub.core.ticks import Ticks
from tickhub.management.periods import EVER
from tickhub.reconcile import Scope

Quotes = list[tuple[int, float, float]]
NAN = float("nan")
GOOD: Quotes = [(0, 1.1, 1.2), (0, 1.1, 1.2), (5, 1.1, 1.3)]


def capture(rig: Rig, shown: Ticks) -> int:
    """Let the terminal show ticks, poll, and return the batch."""
    rig.terminal.history["EURUSD"] = shown
    rig.source.now_msc = max(rig.source.now_msc, int(shown["time_msc"].max())) + 1
    rig.poller.poll()
    return rig.published[-1]


def stored(rig: Rig, symbol: str = "EURUSD") -> Stored:
    return reader.read(feed_id=rig.feeds[symbol].pk, from_msc=EVER[0], to_msc=EVER[1])


def quotes(found: Stored) -> Quotes:
    return [(int(t["time_msc"]) - NOON_MSC, float(t["bid"]), float(t["ask"])) for t in found.ticks]


def causes() -> dict[str, int]:
    """The findings by cause, with their ticks."""
    return {finding.cause: finding.count for finding in Finding.objects.order_by("pk")}


def assert_ledger_is_clean() -> None:
    """Count in = count out at every station, as reconcile sees it (the source itself cannot be asked again)."""
    assert reconcile.reconcile(Scope(is_deep=True)).differences == []
