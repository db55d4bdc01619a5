"""Issues certificates: one for each whole UTC hour of a feed, and a further revision where an hour has changed since.

An hour is due once the feed's watermark has passed its end, a pass over the source's past has proven it, and its gaps
are known; one that no pass proves for hours is certified as it is, and says so.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from ingest import cursors, inbox, leases, queries
from quality import certificates
from quality import queries as quality_queries
from quality.certificates import Known, Last, New
from tickhub import examining, ledger
from tickhub.certificates import document, keys
from tickhub.certifying import stations
from tickhub.core import clock
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.ledger import FeedLedger
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

# What was certified so lately is looked at again with every run.
_AGAIN_MS = 7 * DAY_MS
# How long an hour waits for a pass to prove it.
_PATIENCE_MS = 3 * HOUR_MS
# Of one feed in one transaction.
_AT_ONCE = 200


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
    """What is known of a feed as of one moment; ``horizon_hour`` is the first hour that is not due."""

    feed: Feed
    own: FeedLedger
    known: dict[int, Known]
    last: Last | None
    first_hour: int | None
    horizon_hour: int
    proven_msc: int | None
    watermark_msc: int
    newest_batch: int
    examined_hour: int | None

    def is_proven(self, hour: int) -> bool:
        """Return whether a pass over the past has found nothing more of an hour."""
        return self.proven_msc is not None and (hour + 1) * HOUR_MS <= self.proven_msc

    def due(self) -> Iterator[int]:
        """Yield the hours that have no certificate, or one that says something else."""
        hours = stations.hours_of(self.own) | set(
            range(self.horizon_hour if self.first_hour is None else self.first_hour, self.horizon_hour)
        )
        for hour in sorted(hours):
            if hour >= self.horizon_hour:
                return
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

    With ``everything`` all that was ever certified is compared again, not only the last days and what was captured
    since. ``until_s`` (of the monotonic clock) is when to leave the rest to the next run.

    :raises KeyMissing: if there is no key to sign with
    """
    signer = key()
    examining.examine(budget_s=math.inf if until_s is None else max(until_s - clock.monotonic_s(), 0.0) / 2)
    total = 0
    for feed in reference.feeds() if feeds is None else feeds:
        made = 0
        while until_s is None or clock.monotonic_s() < until_s:
            count = _issue_some(feed, signer, everything=everything)
            made += count
            if count < _AT_ONCE:
                break
            tell(f"{feed}: {made} certificates")
        total += made
    return total


def _issue_some(feed: Feed, signer: Ed25519PrivateKey, *, everything: bool) -> int:
    """Issue a feed's first due certificates in one transaction; return how many."""
    try:
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                # Stations, rows and certificates are of one moment.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SET LOCAL statement_timeout = 0")
            if not certificates.lock(feed_id=feed.pk):
                return 0
            scope = _look(feed, everything=everything)
            if scope is None:
                return 0
            rows = list(_certificates(feed, scope, signer))
            certificates.append(rows, feed_id=feed.pk)
    except (IntegrityError, OperationalError) as error:
        if isinstance(error, OperationalError) and "could not serialize" not in str(error):
            raise
        # Another has issued them meanwhile.
        return 0
    return len(rows)


def _look(feed: Feed, *, everything: bool) -> _Scope | None:
    """Return what is known of a feed; None where nothing of it was captured."""
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
    horizon_msc = (watermark_msc + 1) // HOUR_MS * HOUR_MS
    last = certificates.last(feed_id=feed.pk)
    own = _ledger(feed, last, horizon_msc, everything=everything)
    captured = stations.hours_of(own)
    return _Scope(
        feed=feed,
        own=own,
        known=certificates.newest(
            feed_id=feed.pk,
            from_msc=min((hour * HOUR_MS for hour in captured), default=horizon_msc),
            to_msc=horizon_msc,
        ),
        last=last,
        first_hour=min(captured, default=None) if last is None else last.certified_msc // HOUR_MS,
        horizon_hour=horizon_msc // HOUR_MS,
        proven_msc=proven_msc,
        watermark_msc=watermark_msc,
        newest_batch=queries.newest_batch(),
        examined_hour=quality_queries.next_hour(source_id=feed.source_id),
    )


def _ledger(feed: Feed, last: Last | None, horizon_msc: int, *, everything: bool) -> FeedLedger:
    """Return what batches say of a feed: in whole, or of the last days and of all that batches have added since."""
    if last is None or everything:
        return ledger.of_source(feed.source_id).get(feed.pk, FeedLedger())
    added_msc = queries.first_since(source_id=feed.source_id, batch_id=last.through_batch_id)
    starts = [last.certified_msc, horizon_msc - _AGAIN_MS, *([] if added_msc is None else [added_msc])]
    from_msc = min(starts) // HOUR_MS * HOUR_MS
    own = ledger.of_source(feed.source_id, from_msc=from_msc, to_msc=horizon_msc)
    # Hours before the period are of the same batches, and not complete.
    return _since(own.get(feed.pk, FeedLedger()), from_msc // HOUR_MS)


def _since(own: FeedLedger, from_hour: int) -> FeedLedger:
    return FeedLedger(
        **{
            name: {hour: value for hour, value in getattr(own, name).items() if hour >= from_hour}
            for name in FeedLedger.__slots__
        }
    )


def _certificates(feed: Feed, scope: _Scope, signer: Ed25519PrivateKey) -> Iterator[New]:
    """Yield a feed's first due certificates, each linked to the one before it."""
    number, previous = (0, None) if scope.last is None else (scope.last.number, scope.last.sha256)
    epochs = reference.epochs(source_id=feed.source_id)
    made_msc = clock.now_msc()
    for place, hour in enumerate(scope.due()):
        if place == _AT_ONCE:
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
