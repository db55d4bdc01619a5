"""Opened sources: what is played when, across polls and restarts."""

from pathlib import Path

import numpy as np
import pytest

from ingest.sources import opening, spec
from ingest.sources.opening import Playback, SimulatedSource
from tests.builders import NOON_MSC, make_ticks, make_trades
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks

NOON_S = NOON_MSC // 1000
FRESH = Playback(origin_msc=1_000_000, start_msc=None, reached_msc=None)
SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"


class Host:
    """The host's clock, set by the test."""

    def __init__(self, now_msc: int = 1_000_000) -> None:
        self.now_msc = now_msc

    def __call__(self) -> int:
        return self.now_msc


def open_simulated(text: str, *, playback: Playback = FRESH, host: Host | None = None) -> SimulatedSource:
    source = opening.open_source(spec.parse(text), playback=playback, host_now_msc=host or Host())
    assert isinstance(source, SimulatedSource)
    return source


def read(source: SimulatedSource, symbol: str, *, from_s: int = NOON_S) -> Ticks:
    ticks = source.terminal.copy_ticks_from(symbol, from_s, 1_000_000, source.terminal.COPY_TICKS_ALL)
    assert ticks is not None, source.terminal.last_error()
    return ticks


@pytest.fixture
def recording_file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(ms, 1.1, 1.2) for ms in (500, 900, 2_000, 1_000, 5_000)]))
    return tmp_path / "EURUSD.npz"


def test_replay_describes_itself(recording_file: Path) -> None:
    source = open_simulated(f"replay:{recording_file}")

    assert (source.symbols, source.digits("EURUSD"), source.is_quoted("EURUSD")) == (("EURUSD",), 1, True)
    assert (source.is_replay, source.can_be_reread, source.clock.text) == (True, True, "UTC")


def test_replay_begins_at_its_earliest_row(recording_file: Path) -> None:
    source = open_simulated(f"replay:{recording_file}")

    assert source.begins_msc("EURUSD", NOON_MSC + 9_000) == NOON_MSC + 500
    assert source.begin_poll() == source.start_msc == NOON_MSC + 500


def test_replay_in_time_shows_each_row_when_its_time_has_come(recording_file: Path) -> None:
    host = Host()
    source = open_simulated(f"replay:{recording_file}?speed=10", host=host)

    host.now_msc += 40
    now_msc = source.begin_poll()

    assert now_msc == NOON_MSC + 900
    assert (read(source, "EURUSD")["time_msc"] - NOON_MSC).tolist() == [500, 900]


def test_replay_in_time_goes_on_after_a_restart(recording_file: Path) -> None:
    host = Host(now_msc=1_000_000 + 1_500)

    source = open_simulated(f"replay:{recording_file}", host=host)

    assert source.begin_poll() == NOON_MSC + 2_000
    assert (read(source, "EURUSD")["time_msc"] - NOON_MSC).tolist() == [500, 900, 1_000, 2_000]


def test_start_is_shown_at_the_origin_and_what_was_before_is_history(recording_file: Path) -> None:
    source = open_simulated(f"replay:{recording_file}?start={NOON_MSC + 2_000}")

    assert (source.begin_poll(), source.begins_msc("EURUSD", 0)) == (NOON_MSC + 2_000, NOON_MSC + 500)
    assert len(read(source, "EURUSD")) == 4


def test_start_that_was_recorded_comes_before_the_spec_s(recording_file: Path) -> None:
    playback = Playback(origin_msc=1_000_000, start_msc=NOON_MSC + 950, reached_msc=None)

    source = open_simulated(f"replay:{recording_file}?start={NOON_MSC + 2_000}", playback=playback)

    assert source.begin_poll() == NOON_MSC + 950


def test_replay_at_full_speed_shows_nothing_before_the_first_poll(recording_file: Path) -> None:
    source = open_simulated(f"replay:{recording_file}?speed=max")

    before = len(read(source, "EURUSD"))
    source.begin_poll()

    assert (before, len(read(source, "EURUSD")), source.is_exhausted()) == (0, 5, True)


def test_replay_at_full_speed_reveals_a_bounded_number_of_rows_per_poll(tmp_path: Path) -> None:
    ticks = make_ticks([(i // 10, 1.1, 1.2) for i in range(100_000)])
    np.savez(tmp_path / "EURUSD.npz", ticks=ticks)
    np.savez(tmp_path / "GBPUSD.npz", ticks=ticks)
    source = open_simulated(f"replay:{tmp_path}?speed=max")
    shown = []

    while not source.is_exhausted():
        source.begin_poll()
        shown.append(len(read(source, "EURUSD")) + len(read(source, "GBPUSD")))

    assert max(np.diff([0, *shown])) <= 32_768
    assert shown[-1] == 200_000


def test_replay_at_full_speed_shows_after_a_restart_what_was_captured(recording_file: Path) -> None:
    playback = Playback(origin_msc=1_000_000, start_msc=None, reached_msc=NOON_MSC + 2_000)

    source = open_simulated(f"replay:{recording_file}?speed=max", playback=playback)

    assert (read(source, "EURUSD")["time_msc"] - NOON_MSC).tolist() == [500, 900, 1_000, 2_000]


def test_folder_is_played_as_one_terminal(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(5_000, 1.1, 1.2)]))
    np.savez(tmp_path / "spy_trades.npz", ticks=make_trades([(0, 167.41, 100)]))
    (tmp_path / "README.md").write_text("about")

    source = open_simulated(f"replay:{tmp_path}?speed=max")
    source.begin_poll()

    assert source.symbols == ("EURUSD", "SPY")
    assert (source.is_quoted("EURUSD"), source.is_quoted("SPY"), source.digits("SPY")) == (True, False, 2)
    assert source.notes == ("skipped README.md: is no recording",)
    assert source.start_msc == NOON_MSC


def test_bad_lines_of_an_export_are_told(tmp_path: Path) -> None:
    (tmp_path / "EURUSD.csv").write_text(
        "<DATE>\t<TIME>\t<BID>\t<ASK>\n2026.03.02\t12:00:00\t1.1\t1.2\n2026.03.02\t12:00\t1.1\t1.2\n"
    )

    source = open_simulated(f"replay:{tmp_path}/EURUSD.csv")

    assert source.notes == ("EURUSD.csv: 1 bad lines left out: line 3: TIME '12:00' is no time",)


def test_symbol_of_a_single_file_can_be_given_and_of_a_folder_not(recording_file: Path) -> None:
    assert open_simulated(f"replay:{recording_file}?symbol=EURUSD%23").symbols == ("EURUSD#",)
    with pytest.raises(UsageError, match=r"symbol=EURUSD is for a single file, .* is a folder"):
        open_simulated(f"replay:{recording_file.parent}?symbol=EURUSD")


def test_sim_shows_its_market_up_to_the_host_s_time() -> None:
    host = Host(NOON_MSC)
    source = open_simulated("sim:?symbols=EURUSD,USDJPY&rate=100&seed=3", host=host)

    host.now_msc += 2_500
    now_msc = source.begin_poll()
    times = read(source, "EURUSD")["time_msc"]

    assert (now_msc, source.begins_msc("EURUSD", now_msc)) == (NOON_MSC + 2_500, NOON_MSC + 2_000)
    assert NOON_MSC + 2_300 < times.max() <= NOON_MSC + 2_500
    assert (source.digits("USDJPY"), source.is_exhausted()) == (3, False)


def test_sim_under_another_clock_shifts_its_time() -> None:
    source = open_simulated("sim:?clock=+03:00", host=Host(NOON_MSC))

    source.begin_poll()
    times = read(source, "EURUSD", from_s=(NOON_MSC + 10_800_000) // 1000 - 60)["time_msc"]

    assert source.clock.text == "+03:00"
    assert NOON_MSC + 10_790_000 < times.max() <= NOON_MSC + 10_800_000


def test_from_is_utc_and_where_a_feed_begins() -> None:
    source = open_simulated(f"sim:?clock=+03:00&from={NOON_MSC}", host=Host(NOON_MSC + 60_000))

    assert source.begins_msc("EURUSD", source.begin_poll()) == NOON_MSC


def test_second_process_rereads_the_same_market() -> None:
    text = "sim:?symbols=EURUSD&rate=100&seed=3"
    source = open_simulated(text, host=Host(NOON_MSC + 5_000))

    again = opening.open_for_rereading(spec.parse(text), host_now_msc=Host(NOON_MSC + 60_000))
    ticks = again.terminal.copy_ticks_range("EURUSD", NOON_S, NOON_S + 4, again.terminal.COPY_TICKS_ALL)

    assert ticks is not None
    assert tick_arrays.same(ticks, read(source, "EURUSD")[: len(ticks)])


def test_recording_is_reread_whole_or_as_far_as_it_was_shown(recording_file: Path) -> None:
    parsed = spec.parse(f"replay:{recording_file}")

    def times(reached_msc: int | None) -> list[int]:
        source = opening.open_for_rereading(parsed, reached_msc=reached_msc)
        ticks = source.terminal.copy_ticks_from("EURUSD", NOON_S, 99, source.terminal.COPY_TICKS_ALL)
        assert ticks is not None
        values: list[int] = (ticks["time_msc"] - NOON_MSC).tolist()
        return values

    assert times(None) == [500, 900, 1_000, 2_000, 5_000]
    # The late row of 1,000 comes only with that of 2,000.
    assert times(NOON_MSC + 1_999) == [500, 900]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent:", "source agent:: its ticks come from an agent through the bridge, it has no poller"),
        ("mt5:demo", "mt5:demo: the MetaTrader5 package exists for Windows only; run the poller there"),
        ("replay:/nowhere/EURUSD.npz", "recording /nowhere/EURUSD.npz: no such file"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        opening.open_source(spec.parse(text), playback=FRESH)

    assert str(raised.value) == message


def test_lost_connection_is_restored_at_the_next_poll(recording_file: Path) -> None:
    source = open_simulated(f"replay:{recording_file}?speed=max")
    source.begin_poll()

    source.simulated.break_ipc()
    broken = source.terminal.copy_ticks_from("EURUSD", NOON_S, 9, source.terminal.COPY_TICKS_ALL)
    source.begin_poll()

    assert broken is None
    assert len(read(source, "EURUSD")) == 5


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded data of shared/data are not here")
def test_real_live_capture_is_shown_whole_in_the_order_of_time_with_nothing_lost() -> None:
    path = SHARED / "btcusdt_binance_usdm_live_20240808.npz"
    recorded = np.load(path)["ticks"]
    source = open_simulated(f"replay:{path}?speed=max")

    while not source.is_exhausted():
        source.begin_poll()
    shown = read(source, "BTCUSDT", from_s=source.begins_msc("BTCUSDT", 0) // 1000)

    assert tick_arrays.same(shown, recorded[np.argsort(recorded["time_msc"], kind="stable")])
