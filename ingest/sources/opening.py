"""Opens the source that a SPEC names."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ingest import heartbeat
from ingest.sources import faults, mt5, recording
from ingest.sources.account import Expected
from ingest.sources.market import Market
from ingest.sources.playback import (
    HostClock,
    Playback,
    PlaybackClock,
    RevealClock,
    StandingClock,
    TimedClock,
)
from ingest.sources.providers import reading as providers
from ingest.sources.recording import Recording
from ingest.sources.session import Session
from ingest.sources.simulator import LOGIN, Listing, SimulatedTerminal
from ingest.sources.spec import Mt5Spec, PlayedSpec, ProviderSpec, SimSpec, SourceSpec
from ingest.sources.surface import ReadingSurface
from ingest.sources.tape import GeneratedTape, RecordingTape
from ingest.sources.terminal import Health, OpenSource, PlainSource, Terminal
from tickhub.core import clock, zones
from tickhub.core.errors import UsageError
from tickhub.core.symbols import SIM_SERVER, SymbolFacts
from tickhub.core.zones import ClockRule, Epochs

__all__ = ["Playback", "SimulatedSource", "open_for_rereading", "open_source", "stand_again"]

# Epochs of a simulated terminal's clock reach so far into the future.
_AHEAD_MS = 730 * clock.DAY_MS
REPLAY_SERVER = "Recording"


class SimulatedSource(PlainSource):
    """A simulated terminal with the clock that drives it. Fits :class:`OpenSource`."""

    can_be_reread = True

    def __init__(
        self,
        listings: dict[str, Listing],
        *,
        playback_clock: PlaybackClock,
        spec: SourceSpec,
        server_name: str,
        start_msc: int,
        notes: Sequence[str] = (),
        fault_file: Path | None = None,
    ) -> None:
        self.simulated = SimulatedTerminal(listings, now_msc=lambda: playback_clock.now_msc, server=server_name)
        # Only a terminal that is made to fail has a history that could be incomplete.
        self._has_faults = fault_file is not None
        if fault_file is not None:
            faults.Driver(self.simulated, fault_file)
        expected = Expected(LOGIN, server_name)
        surface = ReadingSurface(self.simulated, label=spec.text, expected=expected)
        self.terminal: Terminal = surface
        self.symbols = tuple(listings)
        self.server_name = server_name
        self.is_replay = isinstance(spec, PlayedSpec)
        self.is_in_real_time = not isinstance(spec, PlayedSpec) or spec.speed == 1
        self.clock = _clock(spec)
        self.start_msc = start_msc
        self.notes = tuple(notes)
        self._begins_msc = spec.begins_msc
        self.listings = listings
        self._clock = playback_clock
        self._surface = surface
        self._session = Session(surface, label=spec.text, symbols=self.symbols, expected=expected)
        self._session.open()

    @property
    def connections(self) -> int:
        """See :attr:`OpenSource.connections`."""
        return self._session.connections if self._has_faults else 0

    def health(self) -> Health:
        """See :meth:`OpenSource.health`."""
        breaker = self._session.breaker
        return Health(self._session.link, breaker.circuit, breaker.failures, self._surface.hung_s)

    def facts(self) -> Mapping[str, SymbolFacts]:
        """See :meth:`OpenSource.facts`."""
        return self._session.facts

    def begin_poll(self) -> int:
        """See :meth:`OpenSource.begin_poll`."""
        self._clock.advance()
        self._session.ensure()
        return self._clock.now_msc + self.simulated.faults.clock_step_ms

    def is_exhausted(self) -> bool:
        """See :meth:`OpenSource.is_exhausted`."""
        tapes = [listing.tape for listing in self.listings.values()]
        return all(isinstance(t, RecordingTape) and self._clock.now_msc >= t.shown_at[-1] for t in tapes)

    def begins_msc(self, symbol: str, now_msc: int) -> int:
        """See :meth:`OpenSource.begins_msc`."""
        if self._begins_msc is not None:
            return self._begins_msc
        tape = self.listings[symbol].tape
        return tape.first_msc if isinstance(tape, RecordingTape) else now_msc // 1000 * 1000

    def digits(self, symbol: str) -> int:
        """See :meth:`OpenSource.digits`."""
        return self.listings[symbol].digits

    def is_quoted(self, symbol: str) -> bool:
        """See :meth:`OpenSource.is_quoted`."""
        return self.listings[symbol].is_quoted


def open_source(spec: SourceSpec, *, playback: Playback, host_now_msc: Callable[[], int] = clock.now_msc) -> OpenSource:
    """Open a source for capture.

    :raises UsageError: if it cannot be opened as given, in one line
    :raises ingest.sources.session.TerminalUnavailable: if a real terminal does not answer
    """
    if isinstance(spec, PlayedSpec):
        return _play(spec, *_listings(spec), playback=playback, host_now_msc=host_now_msc)
    if isinstance(spec, SimSpec):
        return _open_sim(spec, host_now_msc, fault_file=faults.of_environment())
    if isinstance(spec, Mt5Spec):
        return mt5.open_source(spec, host_now_msc=host_now_msc)
    raise UsageError(f"source {spec.text}: its ticks come from an agent through the bridge, it has no poller")


def stand_again(
    source: OpenSource, spec: SourceSpec, *, playback: Playback, host_now_msc: Callable[[], int] = clock.now_msc
) -> OpenSource:
    """Return a source opened earlier as it stands by now; a real terminal stays connected, files are not read again."""
    if isinstance(source, SimulatedSource) and isinstance(spec, PlayedSpec):
        return _play(spec, source.listings, source.notes, playback=playback, host_now_msc=host_now_msc)
    return source


def open_for_rereading(
    spec: SourceSpec, *, reached_msc: int | None = None, host_now_msc: Callable[[], int] = clock.now_msc
) -> OpenSource:
    """Open a source whose history is only compared: a recording shows all its rows, a market those up to now.

    With ``reached_msc``, the latest time captured (UTC), a recording shows what it had shown by then: late rows
    that a playback has not come to yet are no loss.

    :raises UsageError: if it cannot be opened, or its history cannot be read by a second process
    """
    if isinstance(spec, PlayedSpec):
        listings, notes = _listings(spec)
        end_msc = max(int(tape.shown_at[-1]) for tape in _tapes(listings))
        return SimulatedSource(
            listings,
            playback_clock=StandingClock(end_msc if reached_msc is None else reached_msc),
            spec=spec,
            server_name=providers.SERVERS.get(spec.scheme, REPLAY_SERVER),
            start_msc=end_msc,
            notes=notes,
        )
    if isinstance(spec, SimSpec):
        return _open_sim(spec, host_now_msc)
    raise UsageError(f"source {spec.text}: its history cannot be read by a second process")


def _clock(spec: SourceSpec) -> ClockRule:
    """Return the clock of a simulated terminal, which is UTC unless the SPEC says otherwise."""
    return spec.clock or zones.UTC


def _epochs(spec: SourceSpec) -> Epochs:
    return zones.epochs_from(_clock(spec), to_msc=clock.now_msc() + _AHEAD_MS)


def _open_sim(spec: SimSpec, host_now_msc: Callable[[], int], *, fault_file: Path | None = None) -> SimulatedSource:
    markets = [Market(symbol=symbol, symbols=spec.symbols, rate=spec.rate, seed=spec.seed) for symbol in spec.symbols]
    host_clock = HostClock(host_now_msc=host_now_msc)
    epochs = _epochs(spec)
    return SimulatedSource(
        {m.symbol: Listing(GeneratedTape(m, epochs), digits=m.style.digits) for m in markets},
        playback_clock=host_clock,
        spec=spec,
        server_name=SIM_SERVER,
        start_msc=host_clock.now_msc,
        fault_file=fault_file,
    )


def _play(
    spec: PlayedSpec,
    listings: dict[str, Listing],
    notes: Sequence[str],
    *,
    playback: Playback,
    host_now_msc: Callable[[], int],
) -> SimulatedSource:
    start_msc = playback.start_msc
    if start_msc is None:
        start_msc = spec.start_msc
    first_msc = min(tape.first_msc for tape in _tapes(listings))
    playback_clock: PlaybackClock
    if spec.speed is None:
        shown = [msc for msc in (start_msc, playback.reached_msc) if msc is not None]
        playback_clock = RevealClock(
            [tape.shown_at for tape in _tapes(listings)],
            reached_msc=max(shown, default=None),
            stops=[row.starts_msc for row in _epochs(spec).rows[1:]],
        )
    else:
        playback_clock = TimedClock(
            origin_msc=playback.origin_msc,
            start_msc=first_msc if start_msc is None else start_msc,
            speed=spec.speed,
            host_now_msc=host_now_msc,
        )
    return SimulatedSource(
        listings,
        playback_clock=playback_clock,
        spec=spec,
        server_name=providers.SERVERS.get(spec.scheme, REPLAY_SERVER),
        start_msc=first_msc if start_msc is None else start_msc,
        notes=notes,
        fault_file=faults.of_environment(),
    )


def _tapes(listings: dict[str, Listing]) -> list[RecordingTape]:
    return [listing.tape for listing in listings.values() if isinstance(listing.tape, RecordingTape)]


def _listings(spec: PlayedSpec) -> tuple[dict[str, Listing], list[str]]:
    """Load what is played, and say what of it is left out."""
    epochs = _epochs(spec)
    if isinstance(spec, ProviderSpec):
        found, notes = providers.load(spec)
        return {loaded.symbol: Listing(_tape(loaded, epochs), digits) for loaded, digits in found}, notes
    skipped: list[str] = []
    if spec.path.is_dir():
        if spec.symbol is not None:
            raise UsageError(f"source {spec.text}: symbol={spec.symbol} is for a single file, {spec.path} is a folder")
        recordings, skipped = recording.load_folder(spec.path)
    else:
        recordings = [recording.load(spec.path, spec.symbol)]
    listings = {
        loaded.symbol: Listing(_tape(loaded, epochs), recording.digits(loaded.ticks), recording.is_quoted(loaded.ticks))
        for loaded in recordings
    }
    return listings, [*(f"skipped {entry}" for entry in skipped), *_bad_line_notes(recordings)]


def _tape(loaded: Recording, epochs: Epochs) -> RecordingTape:
    heartbeat.beat_before_loading(loaded.ticks.nbytes)
    return RecordingTape(loaded.ticks, epochs)


def _bad_line_notes(recordings: list[Recording]) -> list[str]:
    return [
        f"{loaded.path.name}: {loaded.bad_lines} bad lines left out: " + "; ".join(loaded.bad_examples)
        for loaded in recordings
        if loaded.bad_lines
    ]
