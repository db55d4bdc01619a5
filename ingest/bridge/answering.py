"""Answers what other processes ask about an agent's terminal (:mod:`ingest.rereads`)."""

from ingest import reading, rereads
from ingest.bridge.remote import RemoteTerminal
from ingest.models import Reread
from ingest.poller import Poller
from ingest.rereads import Hours
from tickhub.core.clock import HOUR_MS
from tickhub.core.digest import Digest


def answer_waiting(poller: Poller, terminal: RemoteTerminal) -> None:
    """Answer every question about a source that waits.

    :raises django.db.DatabaseError: if the database failed; the questions go on waiting
    """
    for question in rereads.waiting(source_id=poller.target.source_id):
        try:
            _answer(question, poller, terminal)
        except reading.ReadFailed as error:
            rereads.answer(question, failure=(error.code, error.text))


def _answer(question: Reread, poller: Poller, terminal: RemoteTerminal) -> None:
    if question.kind == Reread.Kind.SETTLE:
        poller.settler.run(poller.states, now_msc=poller.now_msc)
        rereads.answer(question)
        return
    symbol = question.feed.symbol if question.feed else ""
    if symbol not in poller.source.symbols:
        rereads.answer(question, failure=(0, "the agent does not show this symbol any more"))
        return
    if question.kind == Reread.Kind.HOURS:
        rereads.answer(question, hours=_hours(question, symbol, poller.target.offset_ms, terminal))
        return
    offset_ms = poller.target.offset_ms
    rows = terminal.read(symbol, question.from_msc + offset_ms, question.to_msc + offset_ms)
    if rows is None:
        code, text = terminal.last_error()
        raise reading.ReadFailed(symbol=symbol, code=code, text=text)
    rereads.answer(question, rows=rows)


def _hours(question: Reread, symbol: str, offset_ms: int, terminal: RemoteTerminal) -> Hours:
    numbers = range(question.from_msc // HOUR_MS, -(-question.to_msc // HOUR_MS))
    periods = [
        (
            symbol,
            max(hour * HOUR_MS, question.from_msc) + offset_ms,
            min((hour + 1) * HOUR_MS, question.to_msc) + offset_ms,
        )
        for hour in numbers
    ]
    found: Hours = {}
    for hour, own in zip(numbers, terminal.digests(periods, shift_ms=offset_ms), strict=True):
        if not isinstance(own, Digest):
            raise reading.ReadFailed(symbol=symbol, code=own[0], text=own[1])
        if own.count:
            found[hour] = own
    return found
