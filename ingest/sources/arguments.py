"""The arguments of terminal calls, taken as the MetaTrader5 package takes them."""

import datetime as dt
import math
from collections.abc import Mapping

from ingest.sources.constants import Constants

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
SYMBOL_UNITS_MAX = 30

Args = tuple[object, ...]
Settings = Mapping[str, object]


class InvalidArguments(Exception):
    """The call ends with -2 "Invalid arguments"."""


def whole_second(value: object) -> int:
    """Return a date as the package sends it: whole seconds, floored; a naive datetime is in the local zone.

    :raises InvalidArguments: for 0, which the package takes for "not given"; for what 32 bits do not hold, such as
        milliseconds; for any other type
    """
    if isinstance(value, dt.datetime):
        value = _timestamp(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArguments
        value = int(value)
    second = int32(value)
    if second == 0:
        raise InvalidArguments
    return second


def _timestamp(moment: dt.datetime) -> float:
    try:
        return moment.timestamp()
    except (OverflowError, OSError, ValueError):
        raise InvalidArguments from None


def int32(value: object) -> int:
    """Return an integer of 32 bits."""
    if not isinstance(value, int) or not INT32_MIN <= value <= INT32_MAX:
        raise InvalidArguments
    return int(value)


def name(value: object) -> str:
    """Return a symbol of at most 30 UTF-16 units."""
    if not isinstance(value, str) or len(value.encode("utf-16-le", "surrogatepass")) // 2 > SYMBOL_UNITS_MAX:
        raise InvalidArguments
    return value


def symbol(args: Args) -> str:
    """Take the only argument of symbol_info and symbol_info_tick."""
    if len(args) != 1:
        raise InvalidArguments
    return name(args[0])


def selection(args: Args, settings: Settings) -> tuple[str, bool]:
    """Take the arguments of symbol_select."""
    if not 1 <= len(args) + len(settings) <= 2 or not args or set(settings) - {"enable"}:
        raise InvalidArguments
    return name(args[0]), bool(args[1] if len(args) == 2 else settings.get("enable", True))


def group(args: Args, settings: Settings) -> str | None:
    """Take the argument of symbols_get."""
    if len(args) > 1 or set(settings) - {"group"} or (args and settings):
        raise InvalidArguments
    value = args[0] if args else settings.get("group")
    if value is not None and not isinstance(value, str):
        raise InvalidArguments
    return value


def ticks_from(args: Args, settings: Settings) -> tuple[str, int, int, int]:
    """Take symbol, second, count and flags, exactly four and by place."""
    if len(args) != 4 or settings:
        raise InvalidArguments
    count = int32(args[2])
    if count <= 0:
        raise InvalidArguments
    return name(args[0]), whole_second(args[1]), count, _flags(args[3])


def ticks_range(args: Args, settings: Settings) -> tuple[str, int, int, int]:
    """Take symbol, two seconds and flags, exactly four and by place."""
    if len(args) != 4 or settings:
        raise InvalidArguments
    return name(args[0]), whole_second(args[1]), whole_second(args[2]), _flags(args[3])


def _flags(value: object) -> int:
    flags = int32(value)
    if flags not in (Constants.COPY_TICKS_ALL, Constants.COPY_TICKS_INFO, Constants.COPY_TICKS_TRADE):
        raise InvalidArguments
    return flags


def check_initialize(args: Args, settings: Settings) -> None:
    """Check ``initialize([path], login=, password=, server=, timeout=, portable=)``."""
    _check_settings(settings, {"login", "password", "server", "timeout", "portable"})
    if len(args) > 1 or (args and not isinstance(args[0], str)):
        raise InvalidArguments


def check_login(args: Args, settings: Settings) -> None:
    """Check ``login(login, password=, server=, timeout=)``."""
    _check_settings(settings, {"login", "password", "server", "timeout"})
    if len(args) + ("login" in settings) != 1 or (args and not isinstance(args[0], int)):
        raise InvalidArguments


def _check_settings(settings: Settings, known: set[str]) -> None:
    if set(settings) - known:
        raise InvalidArguments
    for key, value in settings.items():
        wanted = str if key in ("password", "server") else int
        if not isinstance(value, wanted):
            raise InvalidArguments
