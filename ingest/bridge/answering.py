"""Answers what other processes ask about an agent's terminal (:mod:`ingest.rereads`), each epoch of its clock apart."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from ingest import detached, epochview, reading, rereads
from ingest.bridge import settling
from ingest.bridge.remote import RemoteTerminal
from ingest.models import Reread
from ingest.pastepoch import PastEpoch
from ingest.poller import Poller
from ingest.rereads import Hours
from ingest.sources.terminal import Readable
from tickhub.core import digest
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest
from tickhub.core.ticks import Ticks


def answer_waiting(poller: Poller, past: PastEpoch | None, terminal: RemoteTerminal) -> None:
    """Answer every question about a source that waits.

    :raises django.db.DatabaseError: if the database failed; the questions go on waiting
    """
    for question in rereads.waiting(source_id=poller.target.source_id):
        try:
            _answer(question, poller, past, terminal)
        except reading.ReadFailed as error:
            rereads.answer(question, failure=(error.code, error.text))


def _answer(question: Reread, poller: Poller, past: PastEpoch | None, terminal: RemoteTerminal) -> None:
    if question.kind == Reread.Kind.SETTLE:
        if past is not None and past.is_watching:
            past.run()
        poller.settler.run(poller.states, now_msc=poller.now_msc)
        rereads.answer(question)
        return
    symbol = question.feed.symbol if question.feed else ""
    if symbol not in poller.source.symbols:
        rereads.answer(question, failure=(0, "the agent does not show this symbol any more"))
        return
    shares = list(_shares(question, poller))
    if question.kind == Reread.Kind.HOURS:
        found: Hours = {}
        for share in shares:
            for hour, own in _hours(share, symbol, terminal).items():
                found[hour] = found.get(hour, digest.ZERO) + own
        rereads.answer(question, hours=found)
        return
    rereads.answer(question, rows=tick_arrays.join([_rows(share, symbol) for share in shares]))


@dataclass(frozen=True, slots=True)
class _Share:
    """A period (UTC) of one epoch, and the terminal as it shows that."""

    terminal: Readable
    offset_ms: int
    from_msc: int
    to_msc: int


def _shares(question: Reread, poller: Poller) -> Iterator[_Share]:
    """Cut a period at the switches; rows of an hour that the clock leaves out stand behind their epoch's end."""
    target = poller.target
    for place, epoch in enumerate(target.epochs.rows):
        low = max(question.from_msc, epoch.starts_msc)
        high = min(question.to_msc, epoch.ends_msc + target.epochs.skipped_ms(place))
        if low < high:
            own = replace(target, place=place, unsure={})
            view = epochview.of(
                poller.source.terminal,
                own,
                now_msc=partial(detached.left_msc, poller, own),
                seen_msc=lambda symbol: poller.seen.of(poller.target.feeds[symbol][0]),
            )
            yield _Share(view, epoch.offset_ms, low, high)


def _rows(share: _Share, symbol: str) -> Ticks:
    """Return a share's rows in UTC."""
    low, high = share.from_msc + share.offset_ms, share.to_msc + share.offset_ms
    rows = reading.read_range(share.terminal, symbol, from_second=low // 1000, to_second=-(-high // 1000))
    start, end = rows["time_msc"].searchsorted([low, high]).tolist()
    return tick_arrays.shift(rows[start:end], -share.offset_ms)


def _hours(share: _Share, symbol: str, terminal: RemoteTerminal) -> Hours:
    numbers = range(share.from_msc // HOUR_MS, -(-share.to_msc // HOUR_MS))
    hours = [
        replace(share, from_msc=max(hour * HOUR_MS, share.from_msc), to_msc=min((hour + 1) * HOUR_MS, share.to_msc))
        for hour in numbers
    ]
    periods = [(symbol, hour.from_msc + share.offset_ms, hour.to_msc + share.offset_ms) for hour in hours]
    answers = settling.shown_digests(terminal, share.terminal, periods, shift_ms=share.offset_ms)
    found: Hours = {}
    for number, hour, answer in zip(numbers, hours, answers, strict=True):
        own = digest.of(_rows(hour, symbol)) if answer is None else answer
        if not isinstance(own, Digest):
            raise reading.ReadFailed(symbol=symbol, code=own[0], text=own[1])
        if own.count:
            found[number] = own
    return found
