"""Issues certificates: one for each whole UTC hour of a feed, and a further revision where an hour has changed since.

An hour is due once the feed's watermark has passed its end, a pass over the source's past has proven it, and its gaps
are known; one that no pass proves for hours is certified as it is, and says so.
"""

import itertools
import json
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from ingest import cursors, inbox, leases
from quality import certificates, due_hours
from quality import queries as quality_queries
from quality.certificates import Known, Last, New
from quality.due_hours import Due
from tickhub import examining, reaching
from tickhub.certificates import document, keys
from tickhub.certifying import ledgers, stations
from tickhub.certifying.stations import HourState
from tickhub.core import clock
from tickhub.core.clock import DAY_MS, HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.ledger import FeedLedger
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed

# Hours that were not whole are looked at again for so long, the newest so many.
_AGAIN_MS, _NOT_WHOLE_MOST = 7 * DAY_MS, 24
_LOWEST_HOUR = -(1 << 31)
# How long an hour waits for a pass to prove it.
_PATIENCE_MS = 3 * HOUR_MS
# Hours of one feed in one transaction: an hour takes milliseconds, or seconds where thousands of ticks come in each
# second, so that their number follows how long the last ones took.
_AT_ONCE_FIRST, _AT_ONCE_MOST, _AT_ONCE_S = 4, 64, 0.25


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
    """What is known of a feed as of one moment, and of its UTC hours (since 1970) that are looked at, ascending.

    ``again`` are those of them about which something has changed: they are read again whole.
    """

    feed: Feed
    own: FeedLedger
    hours: list[int]
    again: frozenset[int]
    examined: frozenset[int]
    known: dict[int, Known]
    last: Last | None
    mark: "_Mark"
    through_batch_id: int

    def due(self) -> Iterator[tuple[int, HourState]]:
        """Yield the hours that have no certificate, or one that says something else, with what is to be said."""
        for hour in self.hours:
            known = self.known.get(hour * HOUR_MS)
            body = None if known is None else json.loads(known.document)["certificate"]
            if body is not None and hour not in self.again and not self._has_changed(body, hour):
                continue
            state = self._read(hour)
            said = state.as_json() | {"is_proven": self.mark.is_proven(hour)}
            if body is None or any(body.get(name) != value for name, value in said.items()):
                yield hour, state

    def _read(self, hour: int) -> HourState:
        is_proven, is_examined = self.mark.is_proven(hour), hour in self.examined
        return stations.read(self.feed, self.own, hour, is_proven=is_proven, is_examined=is_examined)

    def _has_changed(self, body: dict[str, Any], hour: int) -> bool:  # Any: JSON
        """Return whether a certificate says something else than what can be told without reading the hour."""
        said = stations.of_ledger(self.own, hour)
        is_same = all(body["stations"].get(name) == value for name, value in said.items())
        gaps = stations.gaps_of(self.feed, hour, is_examined=hour in self.examined)
        return not is_same or (self.mark.is_proven(hour) and not body["is_proven"]) or gaps != body["gaps"]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Up to where a feed can be certified: its watermark, and how far its source's past is proven, UTC ms."""

    watermark_msc: int
    proven_msc: int | None

    @property
    def horizon_hour(self) -> int:
        """The first hour that is not over."""
        return (self.watermark_msc + 1) // HOUR_MS

    def is_proven(self, hour: int) -> bool:
        """Return whether a pass over the past has found nothing more of an hour."""
        return self.proven_msc is not None and (hour + 1) * HOUR_MS <= self.proven_msc

    def is_due(self, hour: int, examined: Collection[int]) -> bool:
        """Return whether an hour can be certified: it is over, and its past proven and gaps known, or it is old."""
        if hour >= self.horizon_hour:
            return False
        is_old = (hour + 1) * HOUR_MS <= self.watermark_msc - _PATIENCE_MS
        return is_old or (self.is_proven(hour) and hour in examined)


def issue(
    *,
    feeds: Iterable[Feed] | None = None,
    everything: bool = False,
    until_s: float | None = None,
    tell: Callable[[str], None],
) -> int:
    """Issue what is due of feeds (all, with None); return how many certificates were made.

    With ``everything`` all that was ever certified is read again, not only that about which something has changed.
    ``until_s`` (of the monotonic clock) is when to leave the rest to the next run. The feeds take turns, in an order
    that chance draws: none waits for ever behind another's history.

    :raises KeyMissing: if there is no key to sign with
    """
    signer = key()
    examining.examine(budget_s=math.inf if until_s is None else max(until_s - clock.monotonic_s(), 0.0) / 2)
    under_way = list(reference.feeds() if feeds is None else feeds)
    random.shuffle(under_way)
    if everything:
        for feed in under_way:
            reaching.note_all(feed)
    total, at_once, looked = 0, _AT_ONCE_FIRST, set()
    while under_way:
        for feed in list(under_way):
            started_s = clock.monotonic_s()
            if until_s is not None and started_s >= until_s:
                return total
            made = _issue_some(feed, signer, most=at_once, is_first=feed.pk not in looked)
            is_quick = clock.monotonic_s() - started_s < _AT_ONCE_S
            at_once = min(at_once * 2, _AT_ONCE_MOST) if is_quick else max(at_once // 2, 1)
            looked.add(feed.pk)
            if made is None:
                under_way.remove(feed)
                continue
            total += made
            tell(f"{feed}: {total} certificates")
    return total


def _issue_some(feed: Feed, signer: Ed25519PrivateKey, *, most: int, is_first: bool) -> int | None:
    """Look at a feed's next hours in one transaction; return how many certificates were made, None where none is left.

    With ``is_first`` hours that were not whole are looked at too.
    """
    try:
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                # Stations, rows and certificates are of one moment.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if not certificates.lock(feed_id=feed.pk):
                return None
            mark = _mark(feed)
            if mark is None:
                return None
            scope, dues = _look(feed, mark, most=most, is_first=is_first)
            rows = list(_certificates(scope, signer))
            certificates.append(rows, feed_id=feed.pk)
            due_hours.advance(dues)
    except (IntegrityError, OperationalError) as error:
        if isinstance(error, OperationalError) and "could not serialize" not in str(error):
            raise
        # Another has issued them meanwhile.
        return None
    return len(rows) if scope.hours or dues else None


def _mark(feed: Feed) -> _Mark | None:
    """Return up to where a feed can be certified, None where nothing of it was captured."""
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
    return _Mark(watermark_msc, proven_msc)


def _look(feed: Feed, mark: _Mark, *, most: int, is_first: bool) -> tuple[_Scope, list[tuple[Due, int]]]:
    """Choose a feed's next hours, and return what is known of them, with the due ones and up to where they are done."""
    last = certificates.last(feed_id=feed.pk)
    hours = _not_certified(feed, mark, last, most=most)
    # Without a certificate the first one has yet to be issued: nothing is due again.
    certified_hour = _LOWEST_HOUR if last is None else last.certified_msc // HOUR_MS
    again, dues = _due_again(feed, mark, certified_hour, most=most - len(hours))
    looked = set(hours) | again
    if is_first and last is not None:
        begin_msc = mark.horizon_hour * HOUR_MS - _AGAIN_MS
        not_whole = certificates.not_whole(feed_id=feed.pk, from_msc=begin_msc, most=_NOT_WHOLE_MOST)
        looked |= {at // HOUR_MS for at in not_whole if at // HOUR_MS < mark.horizon_hour}
    low, high = min(looked, default=0), max(looked, default=-1) + 1
    scope = _Scope(
        feed=feed,
        own=ledgers.of_hours(feed, looked),
        hours=sorted(looked),
        again=frozenset(again),
        examined=frozenset(quality_queries.examined_hours(feed_id=feed.pk, from_hour=low, to_hour=high)),
        known=certificates.newest(feed_id=feed.pk, from_msc=low * HOUR_MS, to_msc=high * HOUR_MS),
        last=last,
        mark=mark,
        through_batch_id=reaching.through(source_id=feed.source_id),
    )
    return scope, dues


def _not_certified(feed: Feed, mark: _Mark, last: Last | None, *, most: int) -> list[int]:
    """Return the next hours of a feed that have no certificate and can have one, behind a long pause those after it."""
    first_hour = reaching.first_hour(feed) if last is None else last.certified_msc // HOUR_MS
    if first_hour is None or first_hour >= mark.horizon_hour:
        return []
    if last is not None:
        first_hour = _behind_pause(feed, first_hour, mark)
    end_hour = min(first_hour + most, mark.horizon_hour)
    examined = quality_queries.examined_hours(feed_id=feed.pk, from_hour=first_hour, to_hour=end_hour)
    hours = list(itertools.takewhile(lambda hour: mark.is_due(hour, examined), range(first_hour, end_hour)))
    known_to = max((hour + 1 for hour in hours if hour in examined), default=first_hour + 1)
    is_pause = hours and known_to <= hours[-1] and _behind_pause(feed, known_to, mark) > known_to
    return [hour for hour in hours if hour < known_to] if is_pause else hours


def _behind_pause(feed: Feed, hour: int, mark: _Mark) -> int:
    """Return the hour to go on with: behind a long pause, in which no hour is examined, the first one after it."""
    if mark.horizon_hour - hour <= examining.PAUSE_HOURS:
        return hour
    following = reaching.next_hour(feed, from_hour=hour)
    if following is None:
        return mark.horizon_hour
    return following if following - hour > examining.PAUSE_HOURS else hour


def _due_again(feed: Feed, mark: _Mark, certified_hour: int, *, most: int) -> tuple[set[int], list[tuple[Due, int]]]:
    """Return the next hours of a feed about which something has changed, and up to where each run of them is done.

    What has no certificate yet gets its first one with all that has changed.
    """
    hours: set[int] = set()
    done = []
    for due in due_hours.of_feed(feed_id=feed.pk):
        if due.from_hour >= certified_hour:
            done.append((due, due.to_hour))
            continue
        hour, end_hour = due.from_hour, min(due.to_hour, certified_hour, mark.horizon_hour)
        # What a batch that waits reaches is left, and what is too much for this step.
        while hour < end_hour and (hour in hours or len(hours) < most):
            hours.add(hour)
            hour += 1
        if hour > due.from_hour:
            done.append((due, due.to_hour if hour == certified_hour else hour))
    return hours, done


def _certificates(scope: _Scope, signer: Ed25519PrivateKey) -> Iterator[New]:
    """Yield a feed's first due certificates, each linked to the one before it."""
    feed = scope.feed
    number, previous = (0, None) if scope.last is None else (scope.last.number, scope.last.sha256)
    epochs = reference.epochs(source_id=feed.source_id)
    made_msc = clock.now_msc()
    for hour, state in scope.due():
        from_msc, to_msc = hour * HOUR_MS, (hour + 1) * HOUR_MS
        known = scope.known.get(from_msc)
        number += 1
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
            "watermark_msc": scope.mark.watermark_msc,
            "clock": [{"offset_ms": row.offset_ms, "from_msc": low} for row, low, _ in epochs.within(from_msc, to_msc)],
            "is_proven": scope.mark.is_proven(hour),
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
            through_batch_id=scope.through_batch_id,
            document=text,
            sha256=previous,
        )
