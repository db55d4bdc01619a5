"""Issues certificates: one for each whole UTC hour of a feed, and a further revision where an hour has changed since.

An hour is due once the feed's watermark has passed its end, a pass over the source's past has proven it, and its gaps
are known; one that no pass proves for hours is certified as it is, and says so.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from ingest import cursors, inbox, leases, queries
from quality import certificates
from quality import queries as quality_queries
from quality.certificates import Known, Last, New
from tickhub import examining
from tickhub.certificates import document, keys
from tickhub.certifying import stations
from tickhub.certifying.ledgers import Ledgers
from tickhub.core import clock
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.ledger import FeedLedger
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

# Hours that were not whole are looked at again for so long, the newest so many.
_AGAIN_MS, _NOT_WHOLE_MOST = 7 * DAY_MS, 24
# How long an hour waits for a pass to prove it.
_PATIENCE_MS = 3 * HOUR_MS
# Of one source in one transaction.
_AT_ONCE = 50


class KeyMissing(UsageError):
    """There is no key to sign with."""


def key() -> Ed25519PrivateKey:
    """Return the key that certificates are signed with.

    :raises KeyMissing: if none is set
    :raises tickhub.certificates.keys.KeyInvalid: if what is set is none
    """
    if settings.CERTIFICATE_KEY is None:
        raise KeyMissing("TICKHUB_CERTIFICATE_KEY is not set: set it, or TICKHUB_CERTIFICATE_KEY_FILE")
    return keys.private(settings.CERTIFICATE_KEY)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is known of a feed as of one moment; ``hours`` (since 1970, ascending) are those that may be due."""

    feed: Feed
    own: FeedLedger
    hours: list[int]
    known: dict[int, Known]
    last: Last | None
    proven_msc: int | None
    watermark_msc: int
    newest_batch: int
    examined_hour: int | None

    def is_proven(self, hour: int) -> bool:
        """Return whether a pass over the past has found nothing more of an hour."""
        return self.proven_msc is not None and (hour + 1) * HOUR_MS <= self.proven_msc

    def due(self) -> Iterator[int]:
        """Yield the hours that have no certificate, or one that says something else."""
        for hour in self.hours:
            is_old = (hour + 1) * HOUR_MS <= self.watermark_msc - _PATIENCE_MS
            if not ((self.is_proven(hour) and self.is_examined(hour)) or is_old):
                continue
            known = self.known.get(hour * HOUR_MS)
            if known is None or self._has_changed(json.loads(known.document)["certificate"], hour):
                yield hour

    def _has_changed(self, body: dict[str, Any], hour: int) -> bool:  # Any: JSON
        said = stations.of_ledger(self.own, hour)
        is_same = all(body["stations"].get(name) == value for name, value in said.items())
        has_more = (self.is_proven(hour) and not body["is_proven"]) or self._gaps(hour) != body["gaps"]
        return not is_same or has_more

    def is_examined(self, hour: int) -> bool:
        """Return whether an hour's gaps are known."""
        return self.examined_hour is not None and hour < self.examined_hour

    def _gaps(self, hour: int) -> list[dict[str, Any]] | None:  # Any: JSON
        return stations.gaps_of(self.feed, hour, is_examined=self.is_examined(hour))


def issue(
    *,
    feeds: Iterable[Feed] | None = None,
    everything: bool = False,
    until_s: float | None = None,
    tell: Callable[[str], None],
) -> int:
    """Issue what is due of feeds (all, with None); return how many certificates were made.

    With ``everything`` all that was ever certified is compared again, not only what was captured or proven since.
    ``until_s`` (of the monotonic clock) is when to leave the rest to the next run.

    :raises KeyMissing: if there is no key to sign with
    """
    signer = key()
    examining.examine(budget_s=math.inf if until_s is None else max(until_s - clock.monotonic_s(), 0.0) / 2)
    by_source: dict[int, list[Feed]] = {}
    for feed in reference.feeds() if feeds is None else feeds:
        by_source.setdefault(feed.source_id, []).append(feed)
    total = 0
    for source_id, own in by_source.items():
        while until_s is None or clock.monotonic_s() < until_s:
            count = _issue_some(source_id, own, signer, everything=everything)
            total += count
            if count < _AT_ONCE:
                break
            tell(f"{own[0].source}: {total} certificates")
    return total


def _issue_some(source_id: int, feeds: Sequence[Feed], signer: Ed25519PrivateKey, *, everything: bool) -> int:
    """Issue the first due certificates of a source's feeds in one transaction; return how many."""
    count = 0
    try:
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                # Stations, rows and certificates are of one moment.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SET LOCAL statement_timeout = 0")
            ledgers = Ledgers(source_id)
            for feed in feeds:
                if count < _AT_ONCE and certificates.lock(feed_id=feed.pk):
                    scope = _look(feed, ledgers, everything=everything)
                    rows = [] if scope is None else list(_certificates(scope, signer, most=_AT_ONCE - count))
                    certificates.append(rows, feed_id=feed.pk)
                    count += len(rows)
    except (IntegrityError, OperationalError) as error:
        if isinstance(error, OperationalError) and "could not serialize" not in str(error):
            raise
        # Another has issued them meanwhile.
        return 0
    return count


def _look(feed: Feed, ledgers: Ledgers, *, everything: bool) -> _Scope | None:
    """Return what is known of a feed; None where nothing of it was captured, or nothing can be due."""
    position = cursors.load(source_id=feed.source_id).get(feed.pk)
    if position is None:
        return None
    epochs = reference.epochs(source_id=feed.source_id)
    proven_msc = leases.covered_of(source_id=feed.source_id)
    reached_msc = position.last_msc - epochs.of(position.epoch_id).offset_ms
    # A feed that is silent is read with the others of its source.
    watermark_msc = max(reached_msc, proven_msc or reached_msc)
    waiting_msc = inbox.first_waiting_msc(source_id=feed.source_id)
    if waiting_msc is not None:
        watermark_msc = min(watermark_msc, waiting_msc - 1)
    horizon_hour = (watermark_msc + 1) // HOUR_MS
    last = certificates.last(feed_id=feed.pk)
    if last is None or everything:
        own = ledgers.whole(feed.pk)
        hours = stations.hours_of(own)
        first_hour = min(hours, default=horizon_hour) if last is None else last.certified_msc // HOUR_MS
        hours |= set(range(first_hour, horizon_hour))
    else:
        hours = _suspects(feed, last, horizon_hour)
        own = ledgers.of_hours(feed.pk, hours)
    hours = {hour for hour in hours if hour < horizon_hour}
    if not hours:
        return None
    return _Scope(
        feed=feed,
        own=own,
        hours=sorted(hours),
        known=certificates.newest(feed_id=feed.pk, from_msc=min(hours) * HOUR_MS, to_msc=(max(hours) + 1) * HOUR_MS),
        last=last,
        proven_msc=proven_msc,
        watermark_msc=watermark_msc,
        newest_batch=queries.newest_batch(),
        examined_hour=quality_queries.next_hour(source_id=feed.source_id),
    )


def _suspects(feed: Feed, last: Last, horizon_hour: int) -> set[int]:
    """Return the hours that may be due: those not certified, those that new batches reach, and those not whole of late.

    Adding a source's batches up costs seconds for each hour where thousands of ticks come in each second: an hour of
    which nothing new can be said is left alone.
    """
    hours = set(range(last.certified_msc // HOUR_MS, horizon_hour))
    for first, end in queries.hours_since(
        source_id=feed.source_id, batch_id=last.through_batch_id, before_msc=horizon_hour * HOUR_MS
    ):
        hours |= set(range(first, end + 1))
    not_whole = certificates.not_whole(
        feed_id=feed.pk, from_msc=horizon_hour * HOUR_MS - _AGAIN_MS, most=_NOT_WHOLE_MOST
    )
    return hours | {from_msc // HOUR_MS for from_msc in not_whole}


def _certificates(scope: _Scope, signer: Ed25519PrivateKey, *, most: int) -> Iterator[New]:
    """Yield a feed's first due certificates, each linked to the one before it."""
    feed = scope.feed
    number, previous = (0, None) if scope.last is None else (scope.last.number, scope.last.sha256)
    epochs = reference.epochs(source_id=feed.source_id)
    made_msc = clock.now_msc()
    for place, hour in enumerate(scope.due()):
        if place == most:
            return
        from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
        known = scope.known.get(from_msc)
        number, is_proven = number + 1, scope.is_proven(hour)
        state = stations.read(feed, scope.own, hour, is_proven=is_proven, is_examined=scope.is_examined(hour))
        body = {
            "format": document.FORMAT,
            "source": feed.source.name,
            "symbol": feed.symbol,
            "instrument": feed.instrument.code,
            "feed": feed.pk,
            "number": number,
            "revision": 1 if known is None else known.revision + 1,
            "replaces": None if known is None else known.number,
            "from_msc": from_msc,
            "to_msc": to_msc,
            "made_msc": made_msc,
            "watermark_msc": scope.watermark_msc,
            "clock": [{"offset_ms": row.offset_ms, "from_msc": low} for row, low, _ in epochs.within(from_msc, to_msc)],
            "is_proven": is_proven,
            "previous": previous,
            **state.as_json(),
        }
        text = document.sign(body, signer)
        previous = document.sha256(text)
        yield New(
            number=number,
            revision=1 if known is None else known.revision + 1,
            from_msc=from_msc,
            to_msc=to_msc,
            is_whole=not state.reasons,
            through_batch_id=scope.newest_batch,
            document=text,
            sha256=previous,
        )
