"""Reads the parameters of requests; what cannot be read is answered with 400 and one line."""

from collections.abc import Mapping

from rest_framework.exceptions import ParseError

from tickhub.core import clock
from tickhub.core.clock import DAY_MS
from tickhub.management.periods import EVER


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
            raise ParseError(f"{name}: {error}") from error
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
        raise ParseError(f"{name}={given}: expected a whole number") from None
    if abs(number) >= 1 << 63:
        raise ParseError(f"{name}={given}: expected a number of at most 63 bits")
    return number
