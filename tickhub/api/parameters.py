"""Reads the parameters of requests; what cannot be read is answered with 400 and one line."""

from collections.abc import Mapping

from django.http import QueryDict
from rest_framework.exceptions import ParseError

from tickhub.core import clock
from tickhub.core.clock import DAY_MS, EARLIEST_MSC, LATEST_MSC
from tickhub.management.periods import EVER

# So much of a value is told in an answer.
_TOLD = 200
# No parameter that is of use is longer: some thousand codes.
_LENGTH_MOST = 16_384


def refuse_unreadable(values: QueryDict) -> None:
    """Refuse parameters that no text could mean.

    :raises ParseError: if one holds a character that cannot be printed, is too long, or is given twice
    """
    for name, given in values.lists():
        told = name if name.isprintable() else ascii(name)
        if len(given) > 1:
            raise ParseError(f"{told[:_TOLD]}: given {len(given)} times, expected once")
        for text in (name, *given):
            if len(text) > _LENGTH_MOST:
                raise ParseError(f"{told[:_TOLD]}: {len(text)} characters, at most {_LENGTH_MOST} are read")
            if not text.isprintable():
                raise ParseError(f"{told[:_TOLD]}: {ascii(text)[:_TOLD]} holds a character that cannot be printed")


def period(values: Mapping[str, str]) -> tuple[int, int]:
    """Return ``[start, end)`` in UTC milliseconds; what is not given is not bounded.

    :raises ParseError: if a time cannot be read, or the period is empty
    """
    bounds = []
    for name, default in zip(("start", "end"), EVER, strict=True):
        given = values.get(name)
        try:
            bounds.append(default if given is None else clock.parse(given))
        except ValueError as error:
            raise ParseError(f"{name}: {str(error)[:_TOLD]}") from error
        if given is not None and not EARLIEST_MSC <= bounds[-1] < LATEST_MSC:
            raise ParseError(f"{name}: time {given[:_TOLD]} is in no year from 1 to 9999")
    if bounds[0] >= bounds[1]:
        raise ParseError(f"start {values.get('start')} is not before end {values.get('end')}")
    return bounds[0], bounds[1]


def recent(values: Mapping[str, str], *, most_days: int) -> tuple[int, int]:
    """Return ``[start, end)`` in UTC milliseconds: without ``end`` it is now, without ``start`` a day before the end.

    :raises ParseError: if a time cannot be read, or the period is empty or too long
    """
    start_msc, end_msc = period(values)
    end_msc = end_msc if "end" in values else clock.now_msc()
    start_msc = start_msc if "start" in values else end_msc - DAY_MS
    if not start_msc < end_msc <= start_msc + most_days * DAY_MS:
        told = f"period {clock.iso(start_msc)} to {clock.iso(end_msc)}"
        raise ParseError(f"{told}: expected one of at most {most_days} days")
    return start_msc, end_msc


def required(values: Mapping[str, str], name: str) -> str:
    """Return a parameter that has to be given.

    :raises ParseError: if it is not
    """
    given = values.get(name)
    if not given:
        raise ParseError(f"{name}= is missing")
    return given


def whole(values: Mapping[str, str], name: str, *, default: int) -> int:
    """Return a whole number.

    :raises ParseError: if it is none, or beyond 63 bits
    """
    given = values.get(name)
    try:
        number = default if given is None else int(given)
    except ValueError:
        raise ParseError(f"{name}={(given or '')[:_TOLD]}: expected a whole number") from None
    if abs(number) >= 1 << 63:
        raise ParseError(f"{name}={(given or '')[:_TOLD]}: expected a number of at most 63 bits")
    return number
