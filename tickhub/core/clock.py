"""The one place that reads the clock. Times are UTC milliseconds unless a name says otherwise."""

import datetime as dt
import time

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
# What a calendar date can express: years 1 to 9999.
EARLIEST_MSC, LATEST_MSC = -62_135_596_800_000, 253_402_300_800_000


def now_msc() -> int:
    """Return the host's time in UTC milliseconds."""
    return time.time_ns() // 1_000_000


def now() -> dt.datetime:
    """Return the host's time as an aware UTC datetime."""
    return dt.datetime.now(tz=dt.UTC)


def monotonic_s() -> float:
    """Return seconds that never step back, for durations."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; the only sleep outside tests."""
    if seconds > 0:
        time.sleep(seconds)


def to_datetime(time_msc: int) -> dt.datetime:
    """Return UTC milliseconds as an aware datetime, exact to the millisecond."""
    return dt.datetime.fromtimestamp(time_msc // 1000, tz=dt.UTC) + dt.timedelta(milliseconds=time_msc % 1000)


def from_datetime(moment: dt.datetime) -> int:
    """Return an aware datetime as UTC milliseconds, rounded down.

    :raises ValueError: if the datetime is naive
    """
    if moment.tzinfo is None:
        msg = f"time {moment.isoformat()} has no zone"
        raise ValueError(msg)
    delta = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return delta // dt.timedelta(milliseconds=1)


def parse(text: str) -> int:
    """Read ISO 8601 (UTC unless it names an offset) or epoch milliseconds.

    :raises ValueError: if it is neither
    """
    digits = text.removeprefix("-")
    # Digits of any script would be numbers to int().
    if digits.isascii() and digits.isdigit() and len(digits) > 8:
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        msg = f"time {text!r}: expected ISO 8601 like 2014-05-01T05:00:00Z, or epoch milliseconds"
        raise ValueError(msg) from None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))


def iso(time_msc: int) -> str:
    """Write UTC milliseconds as ISO 8601 with milliseconds and Z; what no calendar holds, as a number."""
    if not EARLIEST_MSC <= time_msc < LATEST_MSC:
        return f"{time_msc} ms"
    return to_datetime(time_msc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_of(time_msc: int) -> int:
    """Return the number of the UTC day since 1970-01-01."""
    return time_msc // DAY_MS
