"""Reads the fields of a JSON object, each with its type and bounds."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ingest.wire import limits
from ingest.wire.closing import Malformed
from tickhub.core import clock

_T = TypeVar("_T")
INT64 = (-(1 << 63), (1 << 63) - 1)
UINT32 = (0, (1 << 32) - 1)
INT31 = (0, (1 << 31) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)
UINT64 = (0, (1 << 64) - 1)
# A time that a calendar holds, so that nothing made of it leaves 64 bits.
TIME = (clock.EARLIEST_MSC, clock.LATEST_MSC)


class Fields:
    """One JSON object; ``where`` names it in messages."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{where}: expected an object")
        self._value: dict[str, Any] = value  # Any: JSON
        self._where = where

    def get(self, name: str) -> Any:  # Any: JSON
        """Return a field, None where it is missing."""
        return self._value.get(name)

    def integer(self, name: str, bounds: tuple[int, int] = INT64) -> int:
        """Return a whole number."""
        return integer(self.get(name), bounds, self._name(name))

    def boolean(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        value = self._value.get(name, default)
        if not isinstance(value, bool):
            raise Malformed(f"{self._name(name)}: expected true or false")
        return value

    def number(self, name: str) -> float:
        """Return a finite number."""
        value = self.get(name)
        # A whole number of any size is JSON too.
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
            raise Malformed(f"{self._name(name)}: expected a finite number")
        return float(value)

    def optional_text(self, name: str, *, most: int = limits.TEXT_CHARS) -> str | None:
        """Return a text as :meth:`text` does, None where it is missing or null."""
        return None if self.get(name) is None else self.text(name, most=most, least=1)

    def text(self, name: str, *, most: int = limits.TEXT_CHARS, least: int = 0) -> str:
        """Return a text of bounded length without control characters."""
        value = self.get(name)
        if not isinstance(value, str) or not least <= len(value) <= most or (value and not value.isprintable()):
            raise Malformed(f"{self._name(name)}: expected a text of {least} to {most} printable characters")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of some texts; the first where the field is missing."""
        value = self._value.get(name, choices[0])
        if value not in choices:
            raise Malformed(f"{self._name(name)}: expected one of {', '.join(choices)}")
        return str(value)

    def optional(self, name: str, bounds: tuple[int, int] = INT64) -> int | None:
        """Return a whole number, None where it is missing or null."""
        return None if self.get(name) is None else self.integer(name, bounds)

    def json_object(self, name: str) -> dict[str, Any]:  # Any: JSON
        """Return an object as it is."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise Malformed(f"{self._name(name)}: expected an object")
        return value

    def items(self, name: str, read: Callable[[object, str], _T], *, most: int) -> tuple[_T, ...]:
        """Return the items of an array, each read."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise Malformed(f"{self._name(name)}: expected an array of at most {most}")
        return tuple(read(item, f"{self._name(name)}[{place}]") for place, item in enumerate(value))

    def _name(self, name: str) -> str:
        return f"{self._where}: {name}"


def integer(value: object, bounds: tuple[int, int], where: str) -> int:
    """Return a whole number within bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or not bounds[0] <= value <= bounds[1]:
        raise Malformed(f"{where}: expected a whole number from {bounds[0]} to {bounds[1]}")
    return value


def integers(value: object, bounds: tuple[tuple[int, int], ...], where: str) -> tuple[int, ...]:
    """Return an array of so many whole numbers."""
    if not isinstance(value, list) or len(value) != len(bounds):
        raise Malformed(f"{where}: expected an array of {len(bounds)} numbers")
    return tuple(integer(item, bound, where) for item, bound in zip(value, bounds, strict=True))


def words(text: str) -> str:
    """Return a terminal's text as one short line of printable characters: the database takes no others."""
    return "".join(c if c.isprintable() else "?" for c in text[: limits.TEXT_CHARS])
