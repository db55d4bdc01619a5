"""Questions to an agent's terminal: asked by a row, answered by the bridge, deleted by who asked.

Sole writer of ``ingest_reread``. An agent's history can only be read over its own connection, which another process
holds; so a question needs no further port and no further secret.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from ingest import reading
from ingest.models import Reread
from tickhub.core import clock
from tickhub.core import ticks as tick_arrays
from tickhub.core.digest import Digest
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks
from tickhub.reference.models import Feed, Source

Hours = dict[int, Digest]

_STEP_S = 0.05
# A question that nobody has asked about for so long was left behind by a process that died.
_FORGOTTEN_S = 3600
_CONNECTED = (
    "SELECT EXISTS (SELECT FROM ingest_lease WHERE source_id = %s AND expires_at > clock_timestamp()"
    " AND holder LIKE %s)"
)
HOLDER = "bridge"


class NoAgent(UsageError):
    """No agent of the source is connected, or it does not answer: its history cannot be asked."""


@dataclass(slots=True)
class AgentHistory:
    """What an agent's terminal shows, as another process can ask it. Periods are half-open, UTC milliseconds.

    Each question raises :class:`reading.ReadFailed` where the terminal refuses, :class:`NoAgent` where none answers.
    """

    source: Source
    patience_s: float = 120.0
    gives_up: Callable[[], bool] = lambda: False

    def settle(self) -> None:
        """Let the bridge compare the past first, so that late ticks are captured and no loss."""
        self._ask(Reread(source=self.source, kind=Reread.Kind.SETTLE))

    def hours(self, feed: Feed, from_msc: int, to_msc: int) -> Hours:
        """Return count and digest of each UTC hour."""
        answer = self._ask(
            Reread(source=self.source, feed=feed, kind=Reread.Kind.HOURS, from_msc=from_msc, to_msc=to_msc)
        )
        return {int(hour): Digest.from_list(values) for hour, values in (answer.hours or {}).items()}

    def rows(self, feed: Feed, from_msc: int, to_msc: int) -> Ticks:
        """Return the ticks, in UTC, each epoch's in order."""
        answer = self._ask(
            Reread(source=self.source, feed=feed, kind=Reread.Kind.ROWS, from_msc=from_msc, to_msc=to_msc)
        )
        return tick_arrays.from_bytes(bytes(answer.rows or b""))

    def _ask(self, question: Reread) -> Reread:
        check_connected(self.source)
        question.save()
        try:
            deadline_s = clock.monotonic_s() + self.patience_s
            while clock.monotonic_s() < deadline_s and not self.gives_up():
                question.refresh_from_db()
                if question.answered_at is not None:
                    return _checked(question)
                check_connected(self.source)
                clock.sleep(_STEP_S)
        finally:
            Reread.objects.filter(pk=question.pk).delete()
        raise NoAgent(f"source {self.source.name}: its agent has not answered in time")


def _checked(question: Reread) -> Reread:
    if question.failure:
        symbol = question.feed.symbol if question.feed else question.source.name
        code, text = question.failure
        raise reading.ReadFailed(symbol=symbol, code=code, text=text)
    return question


def check_connected(source: Source) -> None:
    """Check that an agent of the source is connected.

    :raises NoAgent: if none is
    """
    with connection.cursor() as cursor:
        cursor.execute(_CONNECTED, [source.pk, f"{HOLDER} %"])
        (is_connected,) = cursor.fetchone()
    if not is_connected:
        raise NoAgent(f"source {source.name}: no agent is connected, so its terminal cannot be asked")


def waiting(*, source_id: int) -> list[Reread]:
    """Return the questions about a source that wait for an answer, oldest first."""
    rows = Reread.objects.filter(source_id=source_id, answered_at=None).select_related("feed").order_by("pk")
    return list(rows[:16])


def answer(
    question: Reread, *, hours: Hours | None = None, rows: Ticks | None = None, failure: tuple[int, str] | None = None
) -> None:
    """Write the answer; nothing happens where the asker has given up."""
    values: dict[str, Any] = {"answered_at": clock.now(), "failure": failure}  # Any: values of several types
    if hours is not None:
        values["hours"] = {str(hour): digest.as_list() for hour, digest in hours.items()}
    if rows is not None:
        values["rows"] = rows.tobytes()
    Reread.objects.filter(pk=question.pk).update(**values)


def forget_old(*, source_id: int) -> None:
    """Delete questions whose asker must have died."""
    Reread.objects.filter(
        source_id=source_id, created_at__lt=clock.to_datetime(clock.now_msc() - _FORGOTTEN_S * 1000)
    ).delete()
