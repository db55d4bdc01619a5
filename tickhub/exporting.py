"""Exports a feed's ticks in the 60-byte MT5 record, in the terminal's clock and in key order."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quality import queries as quality_queries
from storage import reader
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks
from tickhub.reference import corrections
from tickhub.reference import queries as reference
from tickhub.reference.models import Feed


def export(*, feed: Feed, from_msc: int, to_msc: int, with_quarantined: bool, out: Path) -> int:
    """Write ``.npz`` with array ``ticks``; return how many.

    :raises UsageError: if the file cannot be written, or the feed's clock is being corrected
    """
    corrections.refuse_unfinished(source_name=feed.source.name)
    ticks = tick_arrays.join(list(_pieces(feed, from_msc, to_msc)))
    if with_quarantined:
        held, _ = quality_queries.held(feed_id=feed.pk, from_msc=from_msc, to_msc=to_msc)
        ticks = np.concatenate([ticks, held])
        ticks = ticks[np.argsort(ticks["time_msc"], kind="stable")]
    try:
        np.savez(out, ticks=ticks)
    except OSError as error:
        msg = f"{out}: {error.strerror}"
        raise UsageError(msg) from error
    return len(ticks)


def _pieces(feed: Feed, from_msc: int, to_msc: int) -> Iterator[Ticks]:
    epochs = reference.epochs(source_id=feed.source_id)
    for epoch, low, high in epochs.within(from_msc, to_msc):
        for stored in reader.read_pieces(feed_id=feed.pk, from_msc=low, to_msc=high):
            yield tick_arrays.shift(stored.ticks, epoch.offset_ms)
