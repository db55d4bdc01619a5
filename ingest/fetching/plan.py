"""Which files of a provider cover a period: where they lie below the base URL, and below the folder alike."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ingest.sources import archives
from ingest.sources.providers import bi5
from ingest.sources.providers.loaded import Unreadable
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.core.errors import UsageError
from tickhub.reference import codes

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,29}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file: its path below base URL and folder, and when what it covers is over (UTC)."""

    path: str
    ends_msc: int


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's layout, and the check that a file is whole, which raises Unreadable."""

    files: Callable[[str, int, int], Iterator[Wanted]]
    check: Callable[[bytes], object]


def _hours(symbol: str, from_msc: int, to_msc: int) -> Iterator[Wanted]:
    """Give Dukascopy's hour files; months count from 00."""
    for hour in range(from_msc // HOUR_MS, -(-to_msc // HOUR_MS)):
        moment = clock.to_datetime(hour * HOUR_MS)
        path = f"{symbol}/{moment:%Y}/{moment.month - 1:02d}/{moment:%d}/{moment:%H}h_ticks.bi5"
        yield Wanted(path, (hour + 1) * HOUR_MS)


def _months(symbol: str, from_msc: int, to_msc: int) -> Iterator[Wanted]:
    """Give TrueFX' archives, ``2016/MAY-2016/EURUSD-2016-05.zip`` (README of webradio/TrueFX-to-Zorro)."""
    start = clock.to_datetime(from_msc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while clock.from_datetime(start) < to_msc:
        after = (start + dt.timedelta(days=31)).replace(day=1)
        month = f"{start:%b}".upper()
        yield Wanted(f"{start:%Y}/{month}-{start:%Y}/{symbol}-{start:%Y-%m}.zip", clock.from_datetime(after))
        start = after


def _check_archive(raw: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            torn = archive.testzip()
    except archives.DAMAGED as error:
        raise Unreadable(f"is no whole archive: {error}") from error
    if torn is not None:
        raise Unreadable(f"is damaged: {torn}")


PROVIDERS = {"dukascopy": Provider(_hours, bi5.unpack), "truefx": Provider(_months, _check_archive)}


def read_symbol(symbol: str) -> str:
    """Return a symbol as it stands in the names of files.

    :raises UsageError: if it cannot
    """
    name = codes.canonical(symbol)
    if not _SYMBOL.fullmatch(name):
        raise UsageError(f"--symbol {symbol}: expected letters and digits, such as EURUSD or EUR/USD")
    return name
