"""TrueFX's monthly tick files: ``EUR/USD,YYYYMMDD HH:MM:SS.mmm,bid,ask``, UTC.

Format and clock as told in Steffen-Manzer/btc-fiat-arbitrage (Daten/truefx/README.md) and webradio/TrueFX-to-Zorro.
"""

import re
from pathlib import Path

from ingest.sources import cells
from ingest.sources.providers import quotes, texts
from ingest.sources.providers.loaded import Loaded, Piece, Unreadable
from ingest.sources.providers.quotes import Layout
from ingest.sources.spec import TrueFxSpec

# The first line that begins with a pair names the file's symbol.
_PAIR = re.compile(rb"^([A-Z]{3}/[A-Z]{3}),", re.MULTILINE)
_LAYOUT = Layout(columns=4, time_at=1, bid_at=2, ask_at=3, volume_at=None, pair_at=0, time_of_day=cells.in_day)


def load(spec: TrueFxSpec) -> Loaded:
    """Read the tick files of a file or folder.

    :raises tickhub.core.errors.UsageError: if there is none
    """
    return texts.load(spec, _read)


def _read(raw: bytes, _name: str, path: Path) -> Piece:
    match = _PAIR.search(raw)
    if match is None:
        raise Unreadable("is no tick file of TrueFX: expected lines of EUR/USD,YYYYMMDD HH:MM:SS.mmm,bid,ask")
    return quotes.read(raw, _LAYOUT, symbol=match[1].decode(), path=path)
