"""The key of a tick as an address gives it: feed, time_msc (UTC) and seq."""

from collections.abc import Mapping
from dataclasses import dataclass

from tickhub.core import clock
from tickhub.core.errors import TickhubError

_INT2, _INT8 = 1 << 15, 1 << 63


class BadKey(TickhubError):
    """What was given is no key of a tick; the message names the parameter and its value."""


@dataclass(frozen=True, slots=True)
class TickKey:
    """The key of one tick."""

    feed_id: int
    time_msc: int
    seq: int

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "TickKey":
        """Read a key; ``time_msc`` may be ISO 8601 too, ``seq`` is 0 where it is not given.

        :raises BadKey: if a parameter is missing or no number within its bounds
        """
        return cls(
            feed_id=_number("feed", given.get("feed", ""), least=1, most=_INT2 - 1),
            time_msc=_time("time_msc", given.get("time_msc", "")),
            seq=_number("seq", given.get("seq") or "0", least=0, most=_INT2 - 1),
        )


def _number(name: str, text: str, *, least: int, most: int) -> int:
    # Digits of any script would be numbers to int().
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        msg = f"{name}={text[:40]}: expected a whole number from {least} to {most}"
        raise BadKey(msg)
    return int(text)


def _time(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 20 and -_INT8 <= int(text) < _INT8:
        return int(text)
    try:
        found = clock.parse(text)
    except (ValueError, OverflowError):
        found = _INT8
    if not -_INT8 <= found < _INT8:
        msg = f"{name}={text[:40]}: expected UTC milliseconds since 1970, or ISO 8601"
        raise BadKey(msg)
    return found
