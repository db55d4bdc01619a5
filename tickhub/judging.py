"""What batches are judged by: facts of feeds and thresholds, kept for a while so that no tick asks for them."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from quality import queries as quality
from quality import rules
from quality.budget import Budget
from quality.inspection import Limits
from quality.rules import Thresholds, Version
from tickhub.core import clock
from tickhub.core.batch import Batch
from tickhub.reference import queries as reference
from tickhub.reference.queries import FeedFacts

# An operator's change reaches every worker within this time.
_KEPT_S = 10.0


@dataclass(frozen=True, slots=True)
class Basis:
    """All that a batch's flags follow from, beside the batch; ``version`` numbers the thresholds."""

    facts: dict[int, FeedFacts]
    thresholds: dict[int, Thresholds]
    version: int

    def as_json(self, feed_id: int) -> list[int]:
        """Return what has to be kept to judge a feed's ticks again, and alike.

        The checks' revision, the thresholds' version, digits, whether quoted, whether prices may be below zero.
        """
        facts = self.facts[feed_id]
        return [rules.REVISION, self.version, facts.digits, int(facts.is_quoted), int(facts.negative_prices)]


@dataclass(slots=True)
class _Kept:
    """What was read last, and when; thresholds by instrument are of ``version``."""

    facts: dict[int, tuple[float, FeedFacts]]
    version: Version
    read_s: float | None
    of_instrument: dict[int | None, Thresholds]


_kept = _Kept({}, rules.version_of([]), None, {})


def basis_of(batch: Batch) -> Basis:
    """Return what a batch is judged by now.

    :raises KeyError: if one of its feeds does not exist
    """
    now_s = clock.monotonic_s()
    facts = _facts({part.feed_id for part in batch.parts}, now_s)
    _refresh(now_s)
    thresholds = {feed_id: _thresholds(known.instrument_id) for feed_id, known in facts.items()}
    return Basis(facts, thresholds, _kept.version.number)


def limits_of(basis: Basis, *, budget: Budget | None = None) -> Limits:
    """Return the limits that a batch is judged by; without a ``budget`` every check takes its time."""
    return Limits(settings.EARLIEST_MSC, settings.FUTURE_TOLERANCE_MS, basis.thresholds, budget)


def thresholds_of(*, instrument_id: int) -> Thresholds:
    """Return the thresholds that an instrument's ticks are judged by now."""
    _refresh(clock.monotonic_s())
    return _thresholds(instrument_id)


def _refresh(now_s: float) -> None:
    if _kept.read_s is None or now_s - _kept.read_s > _KEPT_S:
        _kept.version, _kept.read_s = quality.thresholds(), now_s
        _kept.of_instrument.clear()


def _facts(wanted: Iterable[int], now_s: float) -> dict[int, FeedFacts]:
    kept = _kept.facts
    stale = {feed_id for feed_id in wanted if feed_id not in kept or now_s - kept[feed_id][0] > _KEPT_S}
    if stale:
        for feed_id, facts in reference.feed_facts(stale).items():
            kept[feed_id] = (now_s, facts)
    return {feed_id: kept[feed_id][1] for feed_id in wanted}


def _thresholds(instrument_id: int | None) -> Thresholds:
    if instrument_id not in _kept.of_instrument:
        _kept.of_instrument[instrument_id] = _kept.version.thresholds(instrument_id)
    return _kept.of_instrument[instrument_id]


def forget() -> None:
    """Forget everything, for a database that was replaced."""
    _kept.facts.clear()
    _kept.read_s = None
