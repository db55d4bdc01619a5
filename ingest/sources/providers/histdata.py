"""HistData's ASCII tick files: ``YYYYMMDD HHMMSSmmm,bid,ask,volume``, eastern standard time without summer time.

Format and clock are those of its page "Data Files – Detailed Specification". Its volume is 0.
"""

import re
from pathlib import Path

from ingest.sources import cells
from ingest.sources.providers import quotes, texts
from ingest.sources.providers.loaded import Loaded, Piece, Unreadable
from ingest.sources.providers.quotes import Layout
from ingest.sources.spec import HistDataSpec

_NAME = re.compile(r"(?:DAT|HISTDATA_COM)_ASCII_([A-Z0-9]{3,30})_T_?\d{4,6}", re.IGNORECASE | re.ASCII)
_HEADER = re.compile(rb"date\s*time[^\n]*", re.IGNORECASE)
# Bars: fields separated by semicolons, or four prices.
_BARS = re.compile(rb"\d{8} \d{6};|\d{4}\.\d{2}\.\d{2},")
_LAYOUT = Layout(columns=4, time_at=0, bid_at=1, ask_at=2, volume_at=3, pair_at=None, time_of_day=cells.in_day_compact)


def load(spec: HistDataSpec) -> Loaded:
    """Read the tick files of a file or folder.

    :raises tickhub.core.errors.UsageError: if there is none
    """

    def read(raw: bytes, name: str, path: Path) -> Piece:
        first = raw.partition(b"\n")[0]
        if _BARS.match(first):
            raise Unreadable("holds bars (M1), expected the tick format of HistData")
        match = _NAME.match(name)
        symbol = match[1].upper() if match else spec.symbol if path == spec.path else None
        if symbol is None:
            raise Unreadable("its name holds no symbol, expected DAT_ASCII_SYMBOL_T_YYYYMM.csv")
        return quotes.read(raw, _LAYOUT, symbol=symbol, path=path, first_line=2 if _HEADER.match(first) else 1)

    return texts.load(spec, read)
