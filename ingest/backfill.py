"""Requests to read a stretch of history again, and their fulfilment by the poller. Sole writer of their table.

What the source shows of the stretch is compared with what was captured, as a multiset per millisecond. Only what is
missing is captured, as late ticks; nothing is overwritten: rows that the source no longer shows become an incident.

A request is done only when all of it was read from a terminal that its broker had reached all the while. It stays open
for as long as that takes.
"""

import datetime as dt
import logging
from collections.abc import Collection, Iterator, Sequence

from django.db.models import F

from ingest import detached, queries, reading
from ingest.feedstate import FeedState
from ingest.models import Backfill
from ingest.poller import Poller
from tickhub.core import clock
from tickhub.reference import sources

logger = logging.getLogger(__name__)

# How often a poller looks for requests.
_LOOK_EVERY_S = 1.0
# How long a request waits whose period could not be read.
_AGAIN_S = 30.0


def request(*, feed_id: int, from_msc: int, to_msc: int, reason: str) -> int:
    """Ask for a period ``[from_msc, to_msc)`` in UTC, once while the request is open; return the request's id."""
    period = {"feed_id": feed_id, "from_msc": from_msc, "to_msc": to_msc}
    known = Backfill.objects.filter(**period, state=Backfill.State.OPEN).order_by("pk").first()
    return (known or Backfill.objects.create(**period, reason=reason)).pk


def open_requests(*, source_id: int) -> list[Backfill]:
    """Return the open requests of a source, oldest first."""
    return list(Backfill.objects.filter(feed__source_id=source_id, state=Backfill.State.OPEN).order_by("pk"))


def done_within(*, feed_ids: Sequence[int], from_msc: int, to_msc: int) -> dict[int, list[tuple[int, int]]]:
    """Return the periods ``[from, to)``, UTC, that were read again as a whole and reach into one, by feed."""
    found: dict[int, list[tuple[int, int]]] = {feed_id: [] for feed_id in feed_ids}
    rows = Backfill.objects.filter(
        feed_id__in=feed_ids, state=Backfill.State.DONE, from_msc__lt=to_msc, to_msc__gt=from_msc
    )
    for feed_id, low, high in rows.order_by("from_msc", "to_msc").values_list("feed_id", "from_msc", "to_msc"):
        found[feed_id].append((low, high))
    return found


def failed_before(*, request_ids: Collection[int], before: dt.datetime) -> set[int]:
    """Return those of some requests that failed before an instant."""
    rows = Backfill.objects.filter(pk__in=request_ids, state=Backfill.State.FAILED, done_at__lt=before)
    return set(rows.values_list("pk", flat=True))


def recast(asked: Backfill, *, from_msc: int, to_msc: int) -> None:
    """State the period of a request by a corrected clock, in the caller's transaction; nobody polls meanwhile."""
    Backfill.objects.filter(pk=asked.pk).update(from_msc=from_msc, to_msc=to_msc)


def request_once(*, feed_id: int, from_msc: int, to_msc: int, reason: str) -> None:
    """Ask for a period unless that was done before; where it failed, it is asked for again."""
    asked = Backfill.objects.filter(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc)
    if not asked.exclude(state=Backfill.State.FAILED).exists():
        request(feed_id=feed_id, from_msc=from_msc, to_msc=to_msc, reason=reason)


class Backfiller:
    """Fulfils the requests of one source beside its poller, a slice at a time."""

    def __init__(self, current: Poller) -> None:
        self._current = current
        self._look_at_s = 0.0
        self._running: Iterator[int] | None = None
        self._request: Backfill | None = None
        # The detached poller of the slice under way.
        self._past: Poller | None = None
        self._connections = 0
        self._gone = 0
        # When requests that could not be read are begun again, by id.
        self._again_s: dict[int, float] = {}

    def run(self) -> int:
        """Fulfil every open request as far as it can be read now; return the ticks captured. Raises as :meth:`step`."""
        total = 0
        while self.has_work():
            self._current.utc_msc = self._current.source.begin_poll()
            # Renews the lease where no slice brings anything.
            self._current.save([], now_msc=self._current.utc_msc + self._current.target.offset_ms)
            self._look_at_s = 0.0
            total += self.step()
        return total

    def has_work(self) -> bool:
        """Return whether there is a request that can be gone on with now."""
        return self._is_whole and (self._running is not None or self._next() is not None)

    def step(self) -> int:
        """Go one step on with the oldest request that can be read, if there is one; return the ticks captured.

        :raises django.db.DatabaseError: if the database failed; the request stays open and is begun anew
        """
        if self._current.is_outdated:
            self._current.load()
        if self._running is not None and not self._is_shown:
            # What was read since the newest poll may have been all that the terminal knew by itself.
            self._running = None
        if not self._is_whole or (self._running is None and not self._begin()):
            return 0
        try:
            found = next(self._running) if self._running else None
        except StopIteration:
            self._end(Backfill.State.DONE)
            return 0
        except reading.ReadFailed as error:
            self._put_off(error)
            return 0
        except queries.PayloadGone as error:
            self._end(Backfill.State.FAILED, failure=str(error))
            return 0
        except BaseException:
            self._running = None
            raise
        if found and self._request and self._past:
            Backfill.objects.filter(pk=self._request.pk).update(captured=F("captured") + found)
            detached.take_over(self._past, self._current, found)
        return found or 0

    @property
    def _is_whole(self) -> bool:
        """Return whether the terminal's broker is reached and its history agreed on, and no more is to be expected."""
        return self._current.is_whole and not self._current.settler.coverage.is_doubted

    @property
    def _is_shown(self) -> bool:
        """Return whether the request under way could be read all the time up to the newest poll."""
        state = self._state(self._request) if self._request else None
        is_same = self._current.source.connections == self._connections
        return self._is_whole and is_same and state is not None and state.error is None

    def _state(self, asked: Backfill) -> FeedState | None:
        return next((state for state in self._current.states if state.feed_id == asked.feed_id), None)

    def _begin(self) -> bool:
        if clock.monotonic_s() < self._look_at_s:
            return False
        self._request = self._next()
        if self._request is None:
            self._look_at_s = clock.monotonic_s() + _LOOK_EVERY_S
            return False
        self._gone = 0
        self._connections = self._current.source.connections
        self._running = self._steps(self._request)
        return True

    def _next(self) -> Backfill | None:
        """Return the oldest open request that can be read; one of a symbol that is not polled has failed."""
        rows = Backfill.objects.filter(feed__source_id=self._current.target.source_id, state=Backfill.State.OPEN)
        for asked in rows.order_by("pk"):
            state = self._state(asked)
            if state is None:
                self._close(asked, Backfill.State.FAILED, failure="symbol is not captured by this source")
            elif state.error is None and clock.monotonic_s() >= self._again_s.get(asked.pk, 0.0):
                return asked
        return None

    def _steps(self, asked: Backfill) -> Iterator[int]:
        target = self._current.target
        for place, epoch in enumerate(target.epochs.rows[: target.place + 1]):
            low, high = max(asked.from_msc, epoch.starts_msc), min(asked.to_msc, epoch.ends_msc)
            if low >= high:
                continue
            # What a broker that has not switched shows in an hour left out is of the epoch before it.
            skipped_ms = target.epochs.skipped_ms(place) if high == epoch.ends_msc else 0
            yield from self._cover(asked, place, low + epoch.offset_ms, high + epoch.offset_ms + skipped_ms)
        if sources.begin_earlier(feed_id=asked.feed_id, from_msc=asked.from_msc, to_msc=asked.to_msc):
            target.begin_earlier(feed_id=asked.feed_id, begins_msc=asked.from_msc)
            self._current.is_outdated = True

    def _cover(self, asked: Backfill, place: int, low_msc: int, high_msc: int) -> Iterator[int]:
        """Compare a period of one epoch, in its wall clock, a slice at a time between polls."""
        past = self._past = detached.poller(self._current, place)
        detached.load(past, self._current)
        states = [state for state in past.states if state.feed_id == asked.feed_id]
        for state in states:
            state.begins_msc = min(state.begins_msc, low_msc)
            high_msc = min(high_msc, state.tail.complete_from_msc)
        now_msc = past.utc_msc + past.target.offset_ms
        slices = past.settler.cover(states, from_msc=low_msc, to_msc=high_msc, now_msc=now_msc)
        while True:
            detached.refresh(past, self._current)
            found = next(slices, None)
            if found is None:
                break
            yield found
        self._gone += sum(len(told) for told in past.settler.told_gone.values())

    def _put_off(self, error: reading.ReadFailed) -> None:
        """Leave a request open whose period could not be read, and say why."""
        self._running = None
        if self._request is not None:
            self._again_s[self._request.pk] = clock.monotonic_s() + _AGAIN_S
            Backfill.objects.filter(pk=self._request.pk).update(failure=str(error))
            logger.warning("backfill put off", extra={"request": self._request.pk, "error": str(error)})

    def _end(self, state: Backfill.State, *, failure: str = "") -> None:
        self._running = None
        if self._request is not None:
            self._close(self._request, state, failure=failure)

    def _close(self, asked: Backfill, state: Backfill.State, *, failure: str) -> None:
        gone = self._gone if asked == self._request else 0
        Backfill.objects.filter(pk=asked.pk).update(state=state, failure=failure, gone=gone, done_at=clock.now())
        logger.info("backfill ended", extra={"request": asked.pk, "state": state, "failure": failure})
