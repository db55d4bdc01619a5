"""Reads of findings, incidents and quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from django.db.models import Q

from quality.models import Incident, QuarantinedTick
from tickhub.core import ticks as tick_arrays
from tickhub.core.ticks import Int64s, Mask, Ticks


def held(*, feed_id: int, from_msc: int, to_msc: int, in_utc: bool = False) -> tuple[Ticks, Int64s]:
    """Return the held ticks of a feed within ``[from_msc, to_msc)`` (UTC), by key, in the terminal's clock or in UTC.

    With them the batch of each, shape (n,), int64.
    """
    rows = list(
        QuarantinedTick.objects.filter(feed_id=feed_id, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("time_msc", "seq", "id")
        .values_list("record", "batch_id", "offset_ms")
    )
    ticks = tick_arrays.from_bytes(b"".join(bytes(record) for record, _, _ in rows))
    if in_utc:
        ticks = tick_arrays.shift_each(ticks, -np.array([offset_ms for *_, offset_ms in rows], dtype=np.int64))
    return ticks, np.array([batch_id for _, batch_id, _ in rows], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Rows of the quarantine that were not released, in UTC, as columns; ``is_rejected``: somebody refused them."""

    row_id: Int64s
    ticks: Ticks
    seq: Int64s
    quality: Int64s
    batch_id: Int64s
    feed_id: Int64s
    offset_ms: Int64s
    is_rejected: Mask


def held_rows(*, feed_ids: list[int], from_msc: int, to_msc: int) -> HeldRows:
    """Return what the quarantine holds of feeds within ``[from_msc, to_msc)`` (UTC), by id."""
    rows = list(
        QuarantinedTick.objects.filter(feed_id__in=feed_ids, time_msc__gte=from_msc, time_msc__lt=to_msc)
        .exclude(state=QuarantinedTick.State.RELEASED)
        .order_by("id")
        .values_list("id", "seq", "quality", "batch_id", "feed_id", "offset_ms", "state", "record")
    )
    numbers = np.array([row[:6] for row in rows], dtype=np.int64).reshape(-1, 6)
    ticks = tick_arrays.from_bytes(b"".join(bytes(row[7]) for row in rows))
    return HeldRows(
        row_id=numbers[:, 0],
        ticks=tick_arrays.shift_each(ticks, -numbers[:, 5]),
        seq=numbers[:, 1],
        quality=numbers[:, 2],
        batch_id=numbers[:, 3],
        feed_id=numbers[:, 4],
        offset_ms=numbers[:, 5],
        is_rejected=np.array([row[6] == QuarantinedTick.State.REJECTED for row in rows], dtype=bool),
    )


def open_causes(*, sources: Mapping[int, int]) -> dict[int, list[str]]:
    """Return the causes of the incidents that are not resolved, of feeds and of their sources, each in order.

    ``sources`` gives the source of each feed; a feed without any has an empty list.
    """
    rows = (
        Incident.objects.exclude(state=Incident.State.RESOLVED)
        .filter(Q(feed_id__in=list(sources)) | Q(feed_id=None, source_id__in=list(sources.values())))
        .order_by("cause", "id")
        .values_list("feed_id", "source_id", "cause")
    )
    found: dict[int, set[str]] = {feed_id: set() for feed_id in sources}
    for of_feed_id, of_source_id, cause in rows:
        for feed_id, source_id in sources.items():
            if of_feed_id in (feed_id, None) and of_source_id == source_id:
                found[feed_id].add(cause)
    return {feed_id: sorted(causes) for feed_id, causes in found.items()}
