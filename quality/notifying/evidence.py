"""What of an incident's evidence may be told: by its cause, and by the name and kind of each value. Pure.

Whatever is not named here stays in the system. Words of others (a terminal's error, a database's) are never named:
they may hold an account's number, and the incident in the admin has them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from quality.notifying import redaction
from quality.notifying.redaction import OMITTED
from tickhub.core.flags import Flag

# A kind of value, an object of which these names are told, or a list of one shape.
Kind: TypeAlias = Callable[[Any, Iterable[str]], Any]  # Any: JSON
Shape: TypeAlias = "Kind | Mapping[str, Shape] | list[Shape]"

# Beside what is told of an object: how many of its values are not.
LEFT_OUT = "left_out"
# Of a longer list no more is told.
_ITEMS_MOST = 5
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?|nan|inf)", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[-+]\d\d:\d\d)?)?", re.ASCII)
_OFFSET = re.compile(r"[-+]\d\d:\d\d(?::\d\d)?|UTC", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{0,59}", re.ASCII)


def _figure(value: Any, _: Iterable[str]) -> Any:  # Any: JSON
    is_one = value is None or isinstance(value, (int, float)) or (isinstance(value, str) and _NUMBER.fullmatch(value))
    return value if is_one else OMITTED


def _matching(pattern: re.Pattern[str]) -> Kind:
    def tell(value: Any, _: Iterable[str]) -> Any:  # Any: JSON
        return value if isinstance(value, str) and pattern.fullmatch(value) else OMITTED

    return tell


def _words(value: Any, secrets: Iterable[str]) -> Any:  # Any: JSON
    return redaction.redact_text(value, secrets=secrets) if isinstance(value, str) else OMITTED


_time, _offset, _word = _matching(_TIME), _matching(_OFFSET), _matching(_WORD)


def _figures(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, _figure)


_KEY = _figures("time_msc", "seq")
_PRICES = _figures("bid", "ask", "last")
_ROW = _figures("time_msc", "bid", "ask", "last", "volume_real", "flags")
_OF_FLAG: dict[str, Shape] = {
    "first": _KEY,
    "values": _PRICES,
    "spike": {"key": _KEY, "values": _PRICES},
    "checks": _figures(*Flag.__members__),
    **_figures("batch", "correction", "new_seq"),
}
_BACKLOG = _figures("value", "high", "low")
_CLOCK: dict[str, Shape] = {
    **_figures("minutes", "polls_with_ticks", "smallest_age_ms", "median_age_ms"),
    "name": _words,
    "configured_offset": _offset,
    "likely_offset": _offset,
    "message": _words,
}
_CONNECTION: dict[str, Shape] = {
    **_figures("source_id", "polls", "polls_ok", "connected_ms", "ipc_lost_ms", "link_lost_ms", "hung_ms"),
    **_figures("ratio", "expected_ratio"),
    "name": _words,
    "link": _word,
    "circuit": _word,
}
_CHANGES = ("digits", "point", "chart_mode", "trade_mode", "trade_tick_size", "trade_contract_size")

# The causes of incidents that are no flags.
TOLD: Mapping[str, Mapping[str, Shape]] = {
    **dict.fromkeys(Flag.__members__, _OF_FLAG),
    "AGENT_AWAY": {"name": _words, "last_seen": _time, "away_s": _figure, "message": _words},
    "BACKLOG_AGE": _BACKLOG,
    "BACKLOG_BATCHES": _BACKLOG,
    "BACKLOG_BYTES": _BACKLOG,
    "BATCH_FAILED": {"batch": _figure, "kind": _word},
    "CACHE_AHEAD": {"cached": _KEY | _PRICES},
    "CAPTURE_STOPPED": {"state": _word, "stopped_at": _time, "resumed_at": _time, "stopped_s": _figure},
    "CERTIFICATES_UNSIGNED": {},
    "CLOCK_AHEAD": _CLOCK,
    "CLOCK_MISMATCH": _CLOCK,
    "CONNECTION_UNSTABLE": _CONNECTION,
    "DIGITS_DIFFER": {"symbol": _words, "instrument": _words, **_figures("digits", "instrument_digits")},
    "DISAGREES": {
        **_figures("compared_s", "disagreeing_s", "worst_points", "band_points"),
        "symbol": _words,
        "name": _words,
        "hour": _time,
        "first": _KEY,
        "message": _words,
    },
    "DISK_FULL": _figures("free_bytes"),
    "EPOCH_UNREAD": {"epoch_ended": _time, "feeds": [{"symbol": _words, **_figures("from_msc", "backfill")}]},
    "ERROR_RATE_RISING": {
        **_figures("failed_percent", "failed_percent_before", "polls", "polls_before"),
        "name": _words,
        "message": _words,
    },
    "HISTORY_CHANGED": {"batch": _figure, "gone": [_ROW], "new": [_ROW]},
    "HOST_CLOCK_OFF": _figures("difference_ms", "within_ms", "allowed_ms"),
    "HOST_CLOCK_UNSYNCED": _figures("is_synchronised", "error_us", "estimated_error_us"),
    "INCOMPLETE": {"symbol": _words, "worst": [_time], **_figures("sessions", "missing_s", "missing_most")},
    "INSTRUMENT_CHANGED": {"symbol": _words, "number": _figure, "changed": {name: [_figure] for name in _CHANGES}},
    "LATENCY_HIGH": {
        **_figures("p95_ms", "expected_ms", "batches", "waiting"),
        "name": _words,
        "message": _words,
    },
    "READ_FAILED": {"batch": _figure, "code": _figure},
    "STATIONS_DIFFER": {
        **_figures("expected", "found"),
        "hour": _time,
        "stations": _words,
        "first": {**_ROW, "is": _words},
    },
    "WRONG_ACCOUNT": _CONNECTION,
}


def told(cause: str, evidence: dict[str, Any], *, secrets: Iterable[str] = ()) -> dict[str, Any]:  # Any: JSON
    """Return what of the evidence of a cause may leave the system; nothing of a cause that is not named here.

    ``secrets`` are texts that must not stand anywhere in it.
    """
    found: dict[str, Any] = _object(evidence, TOLD.get(cause, {}), list(secrets))  # Any: JSON
    return found


def _told(value: Any, shape: Shape, secrets: Iterable[str]) -> Any:  # Any: JSON
    if isinstance(shape, Mapping):
        return _object(value, shape, secrets) if isinstance(value, dict) else _no_value(value)
    if isinstance(shape, list):
        return _list(value, shape[0], secrets) if isinstance(value, list) else _no_value(value)
    return shape(value, secrets)


def _object(value: dict[str, Any], shape: Mapping[str, Shape], secrets: Iterable[str]) -> Any:  # Any: JSON
    found = {name: _told(item, shape[name], secrets) for name, item in value.items() if name in shape}
    return found | ({LEFT_OUT: len(value) - len(found)} if len(value) > len(found) else {})


def _list(value: list[Any], shape: Shape, secrets: Iterable[str]) -> Any:  # Any: JSON
    found = [_told(item, shape, secrets) for item in value[:_ITEMS_MOST]]
    return found if len(value) <= _ITEMS_MOST else [*found, f"and {len(value) - _ITEMS_MOST} more"]


def _no_value(value: object) -> str | None:
    return None if value is None else OMITTED
