"""Reads ticks that somebody gives to be judged: JSON, or records of 60 bytes as MetaTrader5 hands them out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.sources.constants import Constants
from tickhub.core import ticks as tick_arrays
from tickhub.core.clock import EARLIEST_MSC, LATEST_MSC
from tickhub.core.errors import TickhubError
from tickhub.core.ticks import TICK_DTYPE, TICK_SIZE_BYTES, Ticks

TICKS_MAX = 10_000
# Twice what 10,000 ticks with every field written out take.
BODY_MAX_BYTES = 4 << 20
JSON_TYPE, RECORDS_TYPE = "application/json", "application/octet-stream"
_INT8_MAX, _UINT8_MAX, _UINT4_MAX = (1 << 63) - 1, (1 << 64) - 1, (1 << 32) - 1
_PRICES = ("bid", "ask", "last")
_BODY = ("instrument", "symbol", "poll_msc", "ticks")
_FIELDS = frozenset(TICK_DTYPE.names or ())
_TOLD = 40
_TRADE = Constants.TICK_FLAG_LAST | Constants.TICK_FLAG_VOLUME

_Json = dict[str, Any]  # Any: JSON


class BadInput(TickhubError):
    """What was given cannot be judged; ``status`` is that of the answer."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Given:
    """Ticks in UTC and in the order given; of an instrument by its code, or of a symbol; ``poll_msc`` None is now."""

    instrument: str | None
    symbol: str | None
    poll_msc: int | None
    ticks: Ticks


def read(*, content_type: str, body: bytes, query: Mapping[str, str]) -> Given:
    """Read a request; the query names the instrument of records, JSON says so itself.

    :raises BadInput: in one line, if it cannot be read, or holds over 10,000 ticks
    """
    if len(body) > BODY_MAX_BYTES:
        msg = f"the body has over {BODY_MAX_BYTES} bytes"
        raise BadInput(msg, status=413)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON_TYPE:
        return _from_json(body)
    if kind == RECORDS_TYPE:
        return _from_records(body, query)
    msg = f"content type {kind[:_TOLD]!a}: expected {JSON_TYPE} or {RECORDS_TYPE}"
    raise BadInput(msg, status=415)


def _from_records(body: bytes, query: Mapping[str, str]) -> Given:
    if len(body) % TICK_SIZE_BYTES:
        msg = f"{len(body)} bytes are no whole number of records of {TICK_SIZE_BYTES} bytes"
        raise BadInput(msg)
    _check_count(len(body) // TICK_SIZE_BYTES)
    text = query.get("poll_msc")
    poll_msc: object = text
    if text is not None and text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20:
        poll_msc = int(text)
    return _given({**query, "poll_msc": poll_msc}, tick_arrays.from_bytes(body))


def _from_json(body: bytes) -> Given:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        # A body that is no text has an error of many words.
        msg = f"the body is no JSON: {str(error).splitlines()[0][:120]!a}"
        raise BadInput(msg) from error
    if not isinstance(value, dict):
        raise BadInput("the body is no JSON object with instrument (or symbol) and ticks")
    return of_json(value)


def of_json(value: _Json) -> Given:
    """Read what a body of JSON holds. Raises as :func:`read`."""
    _refuse_unknown(value, _BODY, "the body")
    ticks = value.get("ticks")
    if not isinstance(ticks, list):
        raise BadInput("ticks: expected a list of objects")
    _check_count(len(ticks))
    return _given(value, _ticks(ticks))


def _check_count(count: int) -> None:
    if count > TICKS_MAX:
        msg = f"{count} ticks, at most {TICKS_MAX} are judged at once"
        raise BadInput(msg, status=413)


def _given(value: Mapping[str, Any], ticks: Ticks) -> Given:  # Any: JSON
    names = {name: value.get(name) for name in ("instrument", "symbol")}
    given = [name for name, code in names.items() if code is not None]
    if len(given) != 1:
        raise BadInput("expected either instrument or symbol")
    code = names[given[0]]
    # PostgreSQL takes neither NUL nor half a surrogate pair; no code has such characters.
    if not (isinstance(code, str) and 0 < len(code) <= _TOLD and code.isprintable()):
        msg = f"{given[0]}: expected a name of 1 to {_TOLD} characters"
        raise BadInput(msg)
    poll_msc = value.get("poll_msc")
    if poll_msc is not None and not (type(poll_msc) is int and EARLIEST_MSC <= poll_msc < LATEST_MSC):
        raise BadInput("poll_msc: expected UTC milliseconds since 1970, of the years 1 to 9999")
    return Given(instrument=names["instrument"], symbol=names["symbol"], poll_msc=poll_msc, ticks=ticks)


def _refuse_unknown(value: _Json, known: Sequence[str] | frozenset[str], what: str) -> None:
    unknown = next((name for name in value if name not in known), None)
    if unknown is not None:
        msg = f"{what}: {unknown[:_TOLD]!a} is not known; known: {', '.join(sorted(known))}"
        raise BadInput(msg)


def _ticks(rows: list[Any]) -> Ticks:  # Any: JSON
    """Build the array from JSON, column by column; a price that is null or missing is 0, no price."""
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            msg = f"tick {place}: expected an object"
            raise BadInput(msg)
        _refuse_unknown(row, _FIELDS, f"tick {place}")
    ticks = np.zeros(len(rows), dtype=TICK_DTYPE)
    ticks["time_msc"] = _whole(rows, "time_msc", None, least=-_INT8_MAX - 1, most=_INT8_MAX)
    ticks["time"] = ticks["time_msc"] // 1000
    if any("time" in row for row in rows):
        follows = iter(ticks["time"].tolist())
        filled = [{"time": second} | row for second, row in zip(follows, rows, strict=True)]
        ticks["time"] = _whole(filled, "time", None, least=-_INT8_MAX - 1, most=_INT8_MAX)
    ticks["volume"] = _whole(rows, "volume", 0, least=0, most=_UINT8_MAX)
    for name in _PRICES:
        ticks[name] = _numbers([0 if row.get(name) is None else row[name] for row in rows], name)
    ticks["volume_real"] = _numbers([row.get("volume_real", row.get("volume", 0)) for row in rows], "volume_real")
    given = [row if "flags" in row else {"flags": own} for row, own in zip(rows, _derived(ticks).tolist(), strict=True)]
    ticks["flags"] = _whole(given, "flags", None, least=0, most=_UINT4_MAX)
    return tick_arrays.freeze(ticks)


def _derived(ticks: Ticks) -> npt.NDArray[np.int64]:
    """Return flags that say which prices are given, as those of an export without a column of flags: shape (n,)."""
    sides = (("bid", Constants.TICK_FLAG_BID), ("ask", Constants.TICK_FLAG_ASK), ("last", _TRADE))
    return np.bitwise_or.reduce([np.where(ticks[name] != 0, bits, 0) for name, bits in sides])


def _whole(rows: list[_Json], name: str, default: int | None, *, least: int, most: int) -> list[int]:
    values: list[Any] = [row.get(name, default) for row in rows]  # Any: JSON
    _check(
        values,
        lambda value: type(value) is int and least <= value <= most,
        name,
        f"a whole number from {least} to {most}",
    )
    return values


def _numbers(values: list[Any], name: str) -> list[float]:  # Any: JSON
    _check(values, lambda value: type(value) in (int, float), name, "a number")
    try:
        return [float(value) for value in values]
    except OverflowError as error:
        msg = f"{name}: a whole number is too large"
        raise BadInput(msg) from error


def _check(values: list[Any], is_good: Callable[[Any], bool], name: str, expected: str) -> None:  # Any: JSON
    bad = next((place for place, value in enumerate(values) if not is_good(value)), None)
    if bad is not None:
        msg = f"tick {bad}: {name}: expected {expected}"
        raise BadInput(msg)
