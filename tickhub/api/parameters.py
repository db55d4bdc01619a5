"""Reads the parameters of requests; what cannot be read is answered with 400 and one line that names it."""

from collections.abc import Mapping

from django.http import QueryDict
from rest_framework.exceptions import ParseError

from tickhub.core import clock
from tickhub.core.clock import DAY_MS
from tickhub.management.periods import EVER

# Of the years 1970 to 2100: what a calendar, a partition and an hour's number hold.
_TIME_LEAST, _TIME_BEYOND = 0, 4_133_980_800_000
_WHOLE_MOST = (1 << 63) - 1
# The longest name there is, of a source; the longest list of names; how much of a value is repeated.
_LENGTH_MOST, LIST_LENGTH_MOST, _SHOWN = 500, 10_000, 40


def refuse_unreadable(query: QueryDict) -> None:
    """Refuse parameters that no text could mean.

    :raises ParseError: if one holds a character that cannot be printed, is too long, or is given twice
    """
    for name, given in query.lists():
        if len(given) > 1:
            raise ParseError(f"{shown(name)}: given {len(given)} times, expected once")
        for text in (name, *given):
            if len(text) > LIST_LENGTH_MOST:
                raise ParseError(f"{shown(name)}: {len(text)} characters, at most {LIST_LENGTH_MOST} are read")
            # PostgreSQL takes no NUL, and no name has such characters.
            if not text.isprintable():
                raise ParseError(f"{shown(name)}: '{shown(text)}' holds a character that cannot be printed")


def read(query: QueryDict, *names: str, most: int = _LENGTH_MOST) -> dict[str, str]:
    """Return those of the named parameters that are given; the view has refused what cannot be read.

    :raises ParseError: if one is empty, or longer than ``most`` characters
    """
    values = {name: str(query[name]) for name in names if name in query}
    for name, text in values.items():
        if not text:
            raise ParseError(f"{name}= is empty")
        if len(text) > most:
            raise ParseError(f"{name}: {len(text)} characters, at most {most} are read")
    return values


def shown(text: str) -> str:
    """Return the begin of a value as an answer repeats it, in ASCII."""
    return ascii(text[:_SHOWN])[1:-1] + ("…" if len(text) > _SHOWN else "")


def period(values: Mapping[str, str]) -> tuple[int, int]:
    """Return ``[start, end)`` in UTC milliseconds; what is not given is not bounded.

    :raises ParseError: if a time cannot be read, or the period is empty
    """
    start_msc, end_msc = _time(values, "start", EVER[0]), _time(values, "end", EVER[1])
    if start_msc >= end_msc:
        raise ParseError(f"start {values.get('start')} is not before end {values.get('end')}")
    return start_msc, end_msc


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


def _time(values: Mapping[str, str], name: str, default: int) -> int:
    if name not in values:
        return default
    text = values[name]
    try:
        # No time of these years is as long.
        found = clock.parse(text) if len(text) <= _SHOWN else None
    except (ValueError, OverflowError):
        found = None
    if found is None or not _TIME_LEAST <= found < _TIME_BEYOND:
        expected = "ISO 8601 like 2014-05-01T05:00:00Z, or UTC milliseconds, of the years 1970 to 2100"
        raise ParseError(f"{name}={shown(text)}: expected {expected}")
    return found


def required(values: Mapping[str, str], name: str) -> str:
    """Return a parameter that has to be given.

    :raises ParseError: if it is not
    """
    if name not in values:
        raise ParseError(f"{name}= is missing")
    return values[name]


def whole(values: Mapping[str, str], name: str, *, default: int) -> int:
    """Return a whole number from 0 to 2^63 - 1.

    :raises ParseError: if it is none
    """
    text = values.get(name, str(default))
    # Digits of any script would be numbers to int().
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _WHOLE_MOST):
        raise ParseError(f"{name}={shown(text)}: expected a whole number from 0 to {_WHOLE_MOST}")
    return int(text)


def words(values: Mapping[str, str], name: str) -> list[str] | None:
    """Return the words between commas; None where none are given.

    :raises ParseError: if there is nothing between the commas
    """
    if name not in values:
        return None
    found = [word for word in values[name].split(",") if word]
    if not found:
        raise ParseError(f"{name}={shown(values[name])}: expected words with commas between")
    return found


def choice(values: Mapping[str, str], name: str, choices: tuple[str, ...], *, default: str) -> str:
    """Return one of some words.

    :raises ParseError: if it is none of them
    """
    text = values.get(name, default)
    if text not in choices:
        raise ParseError(f"{name}={shown(text)}: expected one of {', '.join(choices)}")
    return text
