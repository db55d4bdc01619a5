"""Requests to read a stretch of history again, and their fulfilment by the poller. Sole writer of their table.

What the source shows of the stretch is compared with what was captured, as a multiset per millisecond. Only what is
missing is captured, as late ticks; nothing is overwritten: rows that the source no longer shows become an incident.
"""

import logging
from collections.abc import Iterator

from django.db.models import F

from ingest import detached, queries, reading
from ingest.models import Backfill
from ingest.poller import Poller
from tickhub.core import clock
from tickhub.reference import sources

logger = logging.getLogger(__name__)

# How often a poller looks for requests.
_LOOK_EVERY_S = 1.0


def request(*, feed_id: int, from_msc: int, to_msc: int, reason: str) -> int:
    """Ask for a period ``[from_msc, to_msc)`` in UTC, once while the request is open; return the request's id."""
    period = {"feed_id": feed_id, "from_msc": from_msc, "to_msc": to_msc}
    known = Backfill.objects.filter(**period, state=Backfill.State.OPEN).order_by("pk").first()
    return (known or Backfill.objects.create(**period, reason=reason)).pk


class Backfiller:
    """Fulfils the requests of one source beside its poller, a slice at a time."""

    def __init__(self, current: Poller) -> None:
        self._current = current
        self._look_at_s = 0.0
        self._running: Iterator[int] | None = None
        self._request: Backfill | None = None
        self._gone = 0

    def run(self) -> int:
        """Fulfil every open request; return the ticks captured. Raises as :meth:`step`."""
        total = 0
        self._look_at_s = 0.0
        while True:
            total += self.step()
            if self._running is None:
                return total

    def step(self) -> int:
        """Go one step on with the oldest request, if there is one; return the ticks captured.

        :raises django.db.DatabaseError: if the database failed; the request stays open and is begun anew
        """
        if self._running is None and not self._begin():
            return 0
        try:
            found = next(self._running) if self._running else None
        except StopIteration:
            self._end(failure="")
            return 0
        except (reading.ReadFailed, queries.PayloadGone) as error:
            self._end(failure=str(error))
            return 0
        except BaseException:
            self._running = None
            raise
        if found and self._request:
            Backfill.objects.filter(pk=self._request.pk).update(captured=F("captured") + found)
            detached.take_over(self._current, found)
        return found or 0

    def _begin(self) -> bool:
        if clock.monotonic_s() < self._look_at_s:
            return False
        self._request = (
            Backfill.objects.filter(feed__source_id=self._current.target.source_id, state=Backfill.State.OPEN)
            .order_by("pk")
            .first()
        )
        if self._request is None:
            self._look_at_s = clock.monotonic_s() + _LOOK_EVERY_S
            return False
        self._gone = 0
        self._running = self._steps(self._request)
        return True

    def _steps(self, asked: Backfill) -> Iterator[int]:
        target = self._current.target
        for place, epoch in enumerate(target.epochs.rows[: target.place + 1]):
            low, high = max(asked.from_msc, epoch.starts_msc), min(asked.to_msc, epoch.ends_msc)
            if low >= high:
                continue
            past = detached.poller(self._current, place)
            detached.load(past, self._current)
            states = [state for state in past.states if state.feed_id == asked.feed_id]
            low_msc, high_msc = low + epoch.offset_ms, high + epoch.offset_ms
            for state in states:
                state.begins_msc = min(state.begins_msc, low_msc)
                high_msc = min(high_msc, state.tail.complete_from_msc)
            now_msc = past.utc_msc + epoch.offset_ms
            yield from past.settler.cover(states, from_msc=low_msc, to_msc=high_msc, now_msc=now_msc)
            self._gone += sum(len(told) for told in past.settler.told_gone.values())
        sources.begin_earlier(feed_id=asked.feed_id, from_msc=asked.from_msc, to_msc=asked.to_msc)

    def _end(self, *, failure: str) -> None:
        asked, self._running = self._request, None
        if asked is None:
            return
        state = Backfill.State.FAILED if failure else Backfill.State.DONE
        Backfill.objects.filter(pk=asked.pk).update(state=state, failure=failure, gone=self._gone, done_at=clock.now())
        logger.info("backfill ended", extra={"request": asked.pk, "state": state, "failure": failure})
