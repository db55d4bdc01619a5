"""A captured batch as it travels from the inbox through judging to storage."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tickhub.core.digest import Digest
from tickhub.core.ticks import TICK_SIZE_BYTES, Int64s, Mask, Ticks

# Bit 15 of a mark says LATE; the rest is the tick's seq.
LATE_BIT = 0x8000
SEQ_MAX = 0x7FFF

Marks = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An hour that the terminal's clock shows twice, in its second pass: wall clock ``[from_msc, to_msc)``.

    What is behind the cursor in it, or within ``[unsure_from_msc, unsure_to_msc)``, may be of either pass.
    """

    from_msc: int
    to_msc: int
    unsure_from_msc: int
    unsure_to_msc: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one poll brought of one feed.

    ``cursor`` and ``cursor_after`` are ``(last_msc, taken)`` in the terminal's clock; ``hours`` maps the UTC hour
    (hours since 1970) to the digest of its ticks in UTC; ``missing`` counts ticks captured earlier that the terminal
    no longer shows; ``error`` is the terminal's ``last_error`` where the read failed; ``repeated`` is given where rows
    lie in an hour that the clock shows twice, ``skipped_from_msc`` where they lie in one that it leaves out, which
    begins there; ``is_cut``: a page ended the read, the terminal may have had more.
    """

    feed_id: int
    epoch_id: int
    offset_ms: int
    count: int
    context_count: int
    cursor: tuple[int, int] | None
    cursor_after: tuple[int, int] | None
    hours: dict[int, Digest] = field(default_factory=dict)
    missing: int = 0
    error: tuple[int, str] | None = None
    repeated: Repeated | None = None
    skipped_from_msc: int | None = None
    gone: tuple[str, ...] = ()
    is_cut: bool = False

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the part for its JSON column."""
        value: dict[str, Any] = {  # Any: JSON
            "feed": self.feed_id,
            "epoch": self.epoch_id,
            "offset_ms": self.offset_ms,
            "count": self.count,
            "context": self.context_count,
            "cursor": self.cursor,
            "cursor_after": self.cursor_after,
            "hours": {str(hour): digest.as_list() for hour, digest in self.hours.items()},
            "missing": self.missing,
            "error": self.error,
        }
        # Rare, and left out where there is nothing to tell: a part is written with every poll.
        if self.repeated is not None:
            value["repeated"] = dataclasses.astuple(self.repeated)
        if self.skipped_from_msc is not None:
            value["skipped_from"] = self.skipped_from_msc
        if self.gone:
            value["gone"] = self.gone
        if self.is_cut:
            value["cut"] = True
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Part":  # Any: JSON
        """Read what :meth:`as_json` wrote."""
        return cls(
            feed_id=value["feed"],
            epoch_id=value["epoch"],
            offset_ms=value["offset_ms"],
            count=value["count"],
            context_count=value["context"],
            cursor=_pair(value["cursor"]),
            cursor_after=_pair(value["cursor_after"]),
            hours={int(hour): Digest.from_list(digest) for hour, digest in value["hours"].items()},
            missing=value["missing"],
            error=tuple(value["error"]) if value["error"] else None,
            repeated=Repeated(*value["repeated"]) if "repeated" in value else None,
            skipped_from_msc=value.get("skipped_from"),
            gone=tuple(value.get("gone", ())),
            is_cut=value.get("cut", False),
        )


def parts_from_json(text: str) -> tuple[Part, ...]:
    """Read a batch's JSON column as a raw cursor hands it out, as text."""
    return tuple(Part.from_json(value) for value in json.loads(text))


def _pair(value: list[int] | None) -> tuple[int, int] | None:
    return (value[0], value[1]) if value else None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with its bytes: ``ticks`` in capture order in UTC, part after part, with their seq and lateness.

    ``context`` holds each part's context in the same order, also in UTC; ``poll_msc`` is the terminal's time of the
    poll in UTC, ``captured_msc`` the host's. Arrays ``seq`` and ``late`` have the shape of ``ticks``.
    """

    batch_id: int
    source_id: int
    poll_msc: int
    captured_msc: int
    parts: tuple[Part, ...]
    ticks: Ticks
    seq: npt.NDArray[np.int16]
    late: Mask
    context: Ticks

    def slices(self) -> Iterator[tuple[Part, slice, slice]]:
        """Yield each part with its places in ``ticks`` and in ``context``."""
        tick_start = context_start = 0
        for part in self.parts:
            tick_end, context_end = tick_start + part.count, context_start + part.context_count
            yield part, slice(tick_start, tick_end), slice(context_start, context_end)
            tick_start, context_start = tick_end, context_end

    def feed_of_tick(self) -> npt.NDArray[np.int16]:
        """Return each tick's feed, shape (n,), int16."""
        ids = np.array([part.feed_id for part in self.parts], dtype=np.int16)
        return np.repeat(ids, [part.count for part in self.parts])

    def days(self) -> Int64s:
        """Return the UTC days (days since 1970) that the ticks fall on, ascending."""
        return np.unique(self.ticks["time_msc"] // 86_400_000)


def pack_marks(seq: Int64s, late: Mask) -> bytes:
    """Pack seq and lateness, two bytes each; a seq over 32,767 is kept as 32,767 and judged unstorable."""
    marks = np.minimum(seq, SEQ_MAX).astype("<u2")
    return (marks | np.where(late, np.uint16(LATE_BIT), np.uint16(0)).astype("<u2")).tobytes()


def unpack_marks(raw: bytes) -> tuple[npt.NDArray[np.int16], Mask]:
    """Return seq (int16) and lateness (bool) of packed marks."""
    marks = np.frombuffer(raw, dtype="<u2")
    return (marks & SEQ_MAX).astype(np.int16), (marks & LATE_BIT) != 0


def payload_fits(parts: tuple[Part, ...], ticks: bytes, marks: bytes, context: bytes) -> bool:
    """Return whether the bytes have the length that the parts declare."""
    count = sum(part.count for part in parts)
    context_count = sum(part.context_count for part in parts)
    return (
        len(ticks) == count * TICK_SIZE_BYTES
        and len(marks) == count * 2
        and len(context) == context_count * TICK_SIZE_BYTES
    )
