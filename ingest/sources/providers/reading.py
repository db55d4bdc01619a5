"""Loads what a provider's SPEC names: recordings by symbol, their decimals, and notes."""

from collections.abc import Callable

from ingest.sources import recording
from ingest.sources.providers import dukascopy, histdata, truefx
from ingest.sources.recording import Recording
from ingest.sources.spec import DukascopySpec, HistDataSpec, ProviderSpec, TrueFxSpec
from tickhub.core.errors import UsageError

SERVERS = {"dukascopy": "Dukascopy", "histdata": "HistData", "truefx": "TrueFX"}


def load(spec: ProviderSpec) -> tuple[list[tuple[Recording, int]], list[str]]:
    """Return each symbol's recording with the decimals of its prices, and the lines to show once.

    :raises UsageError: if nothing can be played
    """
    known: dict[str, int] = {}
    if isinstance(spec, DukascopySpec):
        found, known = dukascopy.load(spec)
    elif isinstance(spec, HistDataSpec):
        found = histdata.load(spec)
    elif isinstance(spec, TrueFxSpec):
        found = truefx.load(spec)
    else:
        raise UsageError(f"source {spec.text}: no reader for {spec.scheme}:")
    notes = found.notes()
    recordings = found.recordings(spec.path)
    if not recordings:
        reason = f"; {notes[0]}" if notes else ""
        raise UsageError(f"source {spec.text}: {spec.path}: holds no tick{reason}")
    digits = _digits(spec, known)
    return [(loaded, digits(loaded)) for loaded in recordings], notes


def _digits(spec: ProviderSpec, known: dict[str, int]) -> Callable[[Recording], int]:
    """Return how decimals are told: as given, by the provider's rule, else by the prices themselves."""

    def of(loaded: Recording) -> int:
        if spec.digits is not None:
            return spec.digits
        return known[loaded.symbol] if loaded.symbol in known else recording.digits(loaded.ticks)

    return of
