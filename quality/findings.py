"""Findings: what one batch showed, appended in its transaction. Sole writer of the table's rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import connection

from tickhub.core import flags as flag_names
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import Batch, Part
from tickhub.core.flags import INFORMATIONAL, Flag, FlagArray
from tickhub.core.ticks import Ticks


@dataclass(frozen=True, slots=True)
class Observation:
    """One cause seen: ``evidence`` is JSON that leads to the ticks."""

    cause: str
    feed_id: int | None
    count: int
    evidence: dict[str, Any] = field(default_factory=dict)  # Any: JSON


def observe(
    batch: Batch,
    *,
    flags: FlagArray,
    spikes: Mapping[int, int] | None = None,
    left_out: Mapping[Flag, int | None] | None = None,
) -> list[Observation]:
    """Return one observation for each flag of each feed (informational ones aside), and the poll's own facts.

    ``spikes`` tells for the place of each tick that reverts how many ticks of its feed before it the spike began,
    ``left_out`` the checks that took too long, with the milliseconds that one took, None of those that did not run.
    """
    found = of_flags(batch, flags=flags, spikes=spikes)
    for observation in found:
        if observation.cause == Flag.UNJUDGED.name:
            observation.evidence["checks"] = {flag.name: took_ms for flag, took_ms in (left_out or {}).items()}
    for part, place, _ in batch.slices():
        if part.missing:
            found.append(Observation("HISTORY_CHANGED", part.feed_id, part.missing, _difference(batch, part, place)))
        if part.error:
            found.append(Observation("READ_FAILED", part.feed_id, 1, {"code": part.error[0], "text": part.error[1]}))
    return found


def of_flags(batch: Batch, *, flags: FlagArray, spikes: Mapping[int, int] | None = None) -> list[Observation]:
    """Return one observation for each flag of each feed, informational ones aside; ``spikes`` as of :func:`observe`."""
    found: list[Observation] = []
    # A collision is told with both of its rows by the stage that met it.
    flags = flags & ~int(INFORMATIONAL | Flag.COLLISION)
    is_flagged = flags.any()
    for part, place, before in batch.slices():
        of_part = flags[place]
        for name, count in flag_names.counts(of_part).items() if is_flagged else ():
            first = place.start + int((of_part & Flag[name] != 0).argmax())
            evidence = _tick(batch, first)
            if name == Flag.REVERT.name and spikes is not None:
                evidence["spike"] = _spike(batch, place, before, first - spikes[first])
            found.append(Observation(name, part.feed_id, count, evidence))
    return found


def _tick(batch: Batch, place: int) -> dict[str, Any]:  # Any: JSON
    """Tell a tick's key and prices."""
    tick = batch.ticks[place]
    key = {"time_msc": int(tick["time_msc"]), "seq": int(batch.seq[place])}
    return {"first": key, "values": _values(tick)}


def _spike(batch: Batch, own: slice, context: slice, place: int) -> dict[str, Any]:  # Any: JSON
    """Tell where a spike began: in the batch, or among the ticks before it, whose seq it does not hold."""
    if place >= own.start:
        told = _tick(batch, place)
        return {"key": told["first"], "values": told["values"]}
    tick = batch.context[context.stop - (own.start - place)]
    return {"key": {"time_msc": int(tick["time_msc"])}, "values": _values(tick)}


def _values(tick: np.void) -> dict[str, str]:
    return {side: repr(float(tick[side])) for side in ("bid", "ask", "last")}


def _difference(batch: Batch, part: Part, place: slice) -> dict[str, Any]:  # Any: JSON
    """Tell what the terminal no longer shows, and what it shows in the same milliseconds for the first time."""
    gone = tick_arrays.shift(tick_arrays.from_bytes(bytes.fromhex("".join(part.gone))), -part.offset_ms)
    ticks = batch.ticks[place]
    new = ticks[np.isin(ticks["time_msc"], gone["time_msc"])]
    return {"gone": _as_json(gone), "new": _as_json(new[: len(part.gone)])}


def _as_json(ticks: Ticks) -> list[dict[str, Any]]:  # Any: JSON
    names = ("time_msc", "bid", "ask", "last", "volume_real", "flags")
    return [{name: repr(tick[name].item()) for name in names} for tick in ticks]


def append(observations: Iterable[Observation], *, source_id: int, batch_id: int) -> None:
    """Append observations in the caller's transaction."""
    rows = list(observations)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quality_finding (cause, source_id, feed_id, batch_id, count, evidence)"
            " VALUES (%s, %s, %s, %s, %s, %s::jsonb)",
            [(o.cause, source_id, o.feed_id, batch_id, o.count, json.dumps(o.evidence)) for o in rows],
        )
