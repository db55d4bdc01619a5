"""Judges given ticks as the pipeline would, and stores nothing."""

from typing import Any

import numpy as np
from django.conf import settings

from quality import inspection, reasons
from quality.inspection import Limits
from tickhub import judging
from tickhub.api import given_ticks
from tickhub.api.given_ticks import BadInput, Given
from tickhub.core import clock, flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.batch import SEQ_MAX, Batch, Part
from tickhub.core.errors import PermanentError
from tickhub.core.flags import INFORMATIONAL
from tickhub.reference import calendars
from tickhub.reference import queries as reference
from tickhub.reference.models import Instrument
from tickhub.reference.queries import FeedFacts

# No feed of a source has it.
_FEED_ID = 0


def judge(given: Given) -> dict[str, Any]:  # Any: JSON
    """Return the flags of each tick with what they say, as if one poll had brought all of them and nothing before.

    :raises BadInput: if the instrument is not known
    """
    instrument = _instrument(given)
    poll_msc = clock.now_msc() if given.poll_msc is None else given.poll_msc
    facts = FeedFacts(
        feed_id=_FEED_ID,
        digits=instrument.digits,
        is_quoted=instrument.price_basis == Instrument.PriceBasis.QUOTE,
        negative_prices=instrument.negative_prices,
        instrument_id=instrument.pk,
        calendar=None if instrument.calendar is None else calendars.read(instrument.calendar),
    )
    limits = Limits(
        earliest_msc=settings.EARLIEST_MSC,
        future_tolerance_ms=settings.FUTURE_TOLERANCE_MS,
        thresholds={_FEED_ID: judging.thresholds_of(instrument_id=instrument.pk)},
    )
    found = inspection.inspect(_batch(given, poll_msc), facts={_FEED_ID: facts}, limits=limits)
    held = inspection.held(found)
    return {
        "instrument": instrument.code,
        "poll_msc": poll_msc,
        "count": len(found),
        "held": int(held.sum()),
        "flagged": int(np.count_nonzero(found & ~int(INFORMATIONAL))),
        "flags": flags.counts(found),
        "ticks": [
            {"flags": flags.names(quality), "reasons": list(reasons.told(quality).values()), "is_held": is_held}
            for quality, is_held in zip(found.tolist(), held.tolist(), strict=True)
        ],
    }


def answer(value: dict[str, Any]) -> tuple[int, dict[str, Any]]:  # Any: JSON
    """Return the status and the body that the endpoint answers to a JSON body, for whoever does not ask by HTTP."""
    try:
        return 200, judge(given_ticks.of_json(value))
    except BadInput as error:
        return error.status, {"detail": str(error)}
    except PermanentError as error:
        # A check that raises ends no agent's connection.
        return 500, {"detail": str(error)}


def _instrument(given: Given) -> Instrument:
    if given.instrument is not None:
        instrument = reference.instrument(code=given.instrument)
        if instrument is None:
            msg = f"instrument {given.instrument} is not known"
            raise BadInput(msg, status=404)
        return instrument
    found = {feed.instrument.code: feed.instrument for feed in reference.feeds(symbol=given.symbol)}
    if not found:
        msg = f"symbol {given.symbol} is not known"
        raise BadInput(msg, status=404)
    if len(found) > 1:
        msg = f"symbol {given.symbol} is of several instruments, name one: {', '.join(sorted(found))}"
        raise BadInput(msg)
    return next(iter(found.values()))


def _batch(given: Given, poll_msc: int) -> Batch:
    """Return a batch that no inbox has; its seq numbers the ticks of each millisecond, and none is late."""
    count = len(given.ticks)
    part = Part(_FEED_ID, epoch_id=0, offset_ms=0, count=count, context_count=0, cursor=None, cursor_after=None)
    seq = np.minimum(tick_arrays.position_in_group(given.ticks["time_msc"]), SEQ_MAX).astype(np.int16)
    return Batch(
        batch_id=0,
        source_id=0,
        poll_msc=poll_msc,
        captured_msc=poll_msc,
        parts=(part,),
        ticks=given.ticks,
        seq=seq,
        late=np.zeros(count, dtype=bool),
        context=tick_arrays.empty(),
    )
