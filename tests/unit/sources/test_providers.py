"""The files of history providers, written here byte by byte, come out as the ticks that were computed by hand."""

import lzma
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ingest.sources import opening, spec
from ingest.sources.opening import Playback, SimulatedSource
from ingest.sources.providers import dukascopy
from tests.builders import NOON_MSC
from tickhub.core.errors import UsageError
from tickhub.core.ticks import Ticks

FRESH = Playback(origin_msc=1_000_000, start_msc=None, reached_msc=None)
# 2026-03-02 12:00 UTC: March is month 02.
NOON_FILE = "EURUSD/2026/02/02/12h_ticks.bi5"
# Written by `xz --format=lzma`, of the records (0, 110005, 110000, 1.5, 0.75) and (3599999, 110006, 110000, 1.0, 2.0).
TWO_RECORDS = bytes.fromhex(
    "5d00008000ffffffffffffffff000068feb1fca50dd73533f802ac3f3a64a391489d3496339bd31d0eea0db8dffff7e5ac00"
)


def put(path: Path, raw: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def pack(*rows: tuple[int, int, int, float, float]) -> bytes:
    """An hour file of ``(ms, ask, bid, ask volume, bid volume)``, by the standard library alone."""
    return lzma.compress(b"".join(struct.pack(">iiiff", *row) for row in rows), format=lzma.FORMAT_ALONE)


def played(text: str) -> SimulatedSource:
    source = opening.open_source(spec.parse(f"{text}{'&' if '?' in text else '?'}speed=max"), playback=FRESH)
    assert isinstance(source, SimulatedSource)
    while not source.is_exhausted():
        source.begin_poll()
    return source


def ticks_of(source: SimulatedSource, symbol: str) -> Ticks:
    found = source.terminal.copy_ticks_from(symbol, 1, 1_000_000, source.terminal.COPY_TICKS_ALL)
    assert found is not None, source.terminal.last_error()
    return found


def test_an_hour_file_gives_time_prices_and_both_volumes(tmp_path: Path) -> None:
    put(tmp_path / NOON_FILE, TWO_RECORDS)

    source = played(f"dukascopy:{tmp_path}?symbol=EURUSD")
    ticks = ticks_of(source, "EURUSD")

    assert ticks["time_msc"].tolist() == [NOON_MSC, NOON_MSC + 3_599_999]
    assert ticks["time"].tolist() == [1_772_452_800, 1_772_456_399]
    assert ticks["ask"].tolist() == [1.10005, 1.10006]
    assert ticks["bid"].tolist() == [1.1, 1.1]
    assert ticks["volume"].tolist() == [0x3FC00000_3F400000, 0x3F800000_40000000]
    assert ticks["volume"].copy().view("<f4").reshape(-1, 2).tolist() == [[0.75, 1.5], [2.0, 1.0]]
    assert (ticks["flags"].tolist(), ticks["last"].tolist(), ticks["volume_real"].tolist()) == ([6, 6], [0, 0], [0, 0])
    assert (source.symbols, source.digits("EURUSD"), source.is_quoted("EURUSD")) == (("EURUSD",), 5, True)
    assert (source.is_replay, source.can_be_reread, source.clock.text) == (True, True, "UTC")
    assert source.server_name == "Dukascopy"


def test_hours_follow_one_another_and_an_empty_file_is_an_hour_without_ticks(tmp_path: Path) -> None:
    put(tmp_path / NOON_FILE, pack((5, 110_002, 110_001, 1, 1)))
    put(tmp_path / "EURUSD/2026/02/02/13h_ticks.bi5", b"")
    put(tmp_path / "EURUSD/2026/02/02/09h_ticks.bi5", pack((7, 110_004, 110_003, 1, 1), (7, 110_004, 110_003, 1, 1)))

    source = played(f"dukascopy:{tmp_path}")

    three_hours = 3 * 3_600_000
    assert (ticks_of(source, "EURUSD")["time_msc"] - NOON_MSC).tolist() == [7 - three_hours, 7 - three_hours, 5]
    assert source.notes == ()


def test_damaged_hour_files_are_named_and_the_others_read(tmp_path: Path) -> None:
    whole = pack(*((n, 110_002 + n % 7, 110_001, 1, 1) for n in range(1_000)))
    put(tmp_path / NOON_FILE, pack((5, 110_002, 110_001, 1, 1)))
    folder = tmp_path / "EURUSD/2026/02/02"
    put(folder / "13h_ticks.bi5", whole[:-9])
    put(folder / "14h_ticks.bi5", b"<html>no such file</html>")
    put(folder / "15h_ticks.bi5", lzma.compress(b"x" * 21, format=lzma.FORMAT_ALONE))
    put(tmp_path / "EURUSD/2026/12/02/00h_ticks.bi5", pack((0, 1, 1, 1, 1)))

    source = played(f"dukascopy:{tmp_path}")

    assert len(ticks_of(source, "EURUSD")) == 1
    assert [note.removeprefix(f"skipped {tmp_path}/EURUSD/2026/") for note in source.notes] == [
        "02/02/13h_ticks.bi5: is truncated",
        "02/02/14h_ticks.bi5: is damaged: Input format not supported by decoder",
        "02/02/15h_ticks.bi5: is damaged: 21 bytes are no whole number of 20-byte records",
        "12/02/00h_ticks.bi5: its path is no hour of the calendar (months count from 00)",
    ]


def test_records_that_are_no_tick_of_the_hour_are_counted(tmp_path: Path) -> None:
    put(tmp_path / NOON_FILE, pack((3_600_000, 2, 1, 1, 1), (9, 2, 1, 1, 1), (10, 2, 1, -1, 1)))

    source = played(f"dukascopy:{tmp_path}")

    assert len(ticks_of(source, "EURUSD")) == 1
    assert source.notes == (
        "12h_ticks.bi5: 2 bad lines left out: record 1: 3600000 ms is not in the hour; record 3: a volume is negative",
    )


@pytest.mark.parametrize(
    ("symbol", "digits"),
    [("EURUSD", 5), ("NZDCAD", 5), ("GBPJPY", 3), ("XAUUSD", 3), ("USDHUF", None), ("USA500IDXUSD", None)],
)
def test_the_price_scale_is_known_for_a_few_symbols_only(symbol: str, digits: int | None) -> None:
    assert dukascopy.default_digits(symbol) == digits


def test_a_scale_that_is_not_known_has_to_be_given(tmp_path: Path) -> None:
    put(tmp_path / "LIGHTCMDUSD/2026/02/02/12h_ticks.bi5", pack((0, 70_125, -37_630, 1, 1)))

    with pytest.raises(UsageError, match=r"the price scale of LIGHTCMDUSD is not known, give digits= \(and symbol=\)"):
        played(f"dukascopy:{tmp_path}")
    ticks = ticks_of(played(f"dukascopy:{tmp_path}?symbol=LIGHTCMDUSD&digits=3"), "LIGHTCMDUSD")

    assert (ticks["ask"][0], ticks["bid"][0]) == (70.125, -37.63)


def test_one_hour_file_alone_is_read_by_its_path(tmp_path: Path) -> None:
    path = put(tmp_path / NOON_FILE, pack((5, 110_002, 110_001, 1, 1)))

    assert ticks_of(played(f"dukascopy:{path}"), "EURUSD")["time_msc"].tolist() == [NOON_MSC + 5]


HISTDATA = (
    b"20120201 000003660,1.306600,1.306770,0\r\n"
    b"20120201 235959999,1.306580,1.306750,0\r\n"
    b"20120201 235959999,1.306580,1.306750,25\r\n"
)
# 2012-02-01 00:00 as a wall clock; eastern standard time is five hours behind UTC.
FEBRUARY_MSC = 1_328_054_400_000


def test_histdata_keeps_the_wall_clock_of_the_file_and_its_offset(tmp_path: Path) -> None:
    put(tmp_path / "DAT_ASCII_EURUSD_T_201202.csv", HISTDATA)

    source = played(f"histdata:{tmp_path}")
    ticks = ticks_of(source, "EURUSD")

    assert (ticks["time_msc"] - FEBRUARY_MSC).tolist() == [3_660, 86_399_999, 86_399_999]
    assert (ticks["bid"].tolist(), ticks["ask"].tolist()) == ([1.3066, 1.30658, 1.30658], [1.30677, 1.30675, 1.30675])
    assert (ticks["flags"].tolist(), ticks["volume_real"].tolist()) == ([6, 6, 22], [0.0, 0.0, 25.0])
    assert (source.clock.text, source.digits("EURUSD"), source.server_name) == ("-05:00", 5, "HistData")


def test_histdata_in_summer_has_the_same_offset(tmp_path: Path) -> None:
    put(tmp_path / "DAT_ASCII_EURUSD_T_201207.csv", b"20120702 093000000,1.26,1.2601,0\n")

    source = played(f"histdata:{tmp_path}")

    # 09:30 in the file is 14:30 UTC, 2012-07-02.
    assert ticks_of(source, "EURUSD")["time_msc"][0] + 18_000_000 == 1_341_239_400_000


def test_histdata_is_read_from_the_archive_and_not_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "HISTDATA_COM_ASCII_EURUSD_T201202.zip", "w") as archive:
        archive.writestr("DAT_ASCII_EURUSD_T_201202.csv", HISTDATA)
        archive.writestr("DAT_ASCII_EURUSD_T_201202.txt", "Status report")
    put(tmp_path / "DAT_ASCII_EURUSD_T_201202.csv", HISTDATA)

    source = played(f"histdata:{tmp_path}")

    assert len(ticks_of(source, "EURUSD")) == 3
    assert source.notes == (
        (
            f"skipped {tmp_path}/HISTDATA_COM_ASCII_EURUSD_T201202.zip: holds the same ticks as "
            f"{tmp_path}/DAT_ASCII_EURUSD_T_201202.csv"
        ),
    )


def hours(*numbers: int) -> bytes:
    """A tick of HistData at each hour of the first of March 2024."""
    return b"".join(b"20240301 %02d0000123,1.08%02d0,1.08%02d5,0\n" % (n, n, n) for n in numbers)


def test_a_month_fetched_while_it_ran_is_left_out_beside_the_whole_one(tmp_path: Path) -> None:
    part = put(tmp_path / "a/DAT_ASCII_EURUSD_T_202403.csv", hours(*range(6)) + b"20240301 0600")
    whole = put(tmp_path / "b/DAT_ASCII_EURUSD_T_202403.csv", hours(*range(10)))
    put(tmp_path / "a/DAT_ASCII_GBPUSD_T_202403.csv", hours(*range(3)))

    source = played(f"histdata:{tmp_path}")

    assert (len(ticks_of(source, "EURUSD")), len(ticks_of(source, "GBPUSD"))) == (10, 3)
    assert source.notes == (f"skipped {part}: holds the beginning of the ticks of {whole}",)


def test_files_that_hold_different_ticks_of_the_same_time_are_refused_by_name(tmp_path: Path) -> None:
    first = put(tmp_path / "a.csv/DAT_ASCII_EURUSD_T_202403.csv", hours(*range(6)))
    other = put(tmp_path / "b.csv/DAT_ASCII_EURUSD_T_202403.csv", hours(*range(3, 10)))

    with pytest.raises(UsageError) as raised:
        played(f"histdata:{tmp_path}")

    assert str(raised.value).endswith(f"{first} and {other} hold different ticks of the same time: remove one of them")


def test_files_cut_inside_a_millisecond_follow_one_another(tmp_path: Path) -> None:
    put(tmp_path / "DAT_ASCII_EURUSD_T_202403.csv", hours(1, 2))
    put(tmp_path / "DAT_ASCII_EURUSD_T_202404.csv", hours(2, 3))

    assert len(ticks_of(played(f"histdata:{tmp_path}"), "EURUSD")) == 4


def test_an_archive_packed_by_lzma_and_damaged_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / "DAT_ASCII_EURUSD_T_201202.csv", HISTDATA)
    torn = tmp_path / "DAT_ASCII_EURUSD_T_201203.zip"
    with zipfile.ZipFile(torn, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("DAT_ASCII_EURUSD_T_201203.csv", HISTDATA * 50)
    raw = torn.read_bytes()
    # Behind the entry's header, in what is packed.
    torn.write_bytes(raw[:80] + bytes(byte ^ 0xFF for byte in raw[80:100]) + raw[100:])

    source = played(f"histdata:{tmp_path}")

    assert len(ticks_of(source, "EURUSD")) == 3
    assert [note.startswith(f"skipped {torn}: is damaged") for note in source.notes] == [True]


def test_bars_of_histdata_are_refused_in_one_line(tmp_path: Path) -> None:
    bars = b"20120201 000000;1.306600;1.306600;1.306560;1.306560;0\n"
    path = put(tmp_path / "DAT_ASCII_EURUSD_M1_201202.csv", bars)

    with pytest.raises(UsageError) as raised:
        played(f"histdata:{path}")

    assert str(raised.value).endswith(f"{path}: holds bars (M1), expected the tick format of HistData")
    assert "\n" not in str(raised.value)


def test_a_file_of_histdata_under_another_name_needs_its_symbol(tmp_path: Path) -> None:
    path = put(tmp_path / "ticks.csv", b"DateTime,Bid,Ask,Volume\n" + HISTDATA)

    with pytest.raises(UsageError, match="its name holds no symbol"):
        played(f"histdata:{path}")
    assert len(ticks_of(played(f"histdata:{path}?symbol=EURUSD"), "EURUSD")) == 3


def test_bad_lines_of_a_provider_are_counted_and_the_first_told(tmp_path: Path) -> None:
    lines = b"20120201 246003660,1,2,0\n20120201 000003660,1.5,,0\n20120230 000003660,1,2,0\n1,2\n" + HISTDATA
    put(tmp_path / "DAT_ASCII_EURUSD_T_201202.csv", lines)

    source = played(f"histdata:{tmp_path}")

    assert len(ticks_of(source, "EURUSD")) == 3
    assert source.notes == (
        (
            "DAT_ASCII_EURUSD_T_201202.csv: 4 bad lines left out: line 1: time '20120201 246003660' is no time; "
            "line 2: ask '' is no number that it could have; line 3: time '20120230 000003660' is no time; "
            "line 4: 2 fields, expected 4"
        ),
    )


TRUEFX = b"EUR/USD,20130101 21:59:59.981,1.32023,1.32054\nEUR/USD,20130101 22:00:00.296,1.32027,1.32051   \n"


def test_truefx_is_utc_and_its_symbol_is_the_pair(tmp_path: Path) -> None:
    put(tmp_path / "2013/EURUSD-2013-01.csv", TRUEFX + b"GBP/USD,20130101 22:00:00.296,1.3,1.4\n")

    source = played(f"truefx:{tmp_path}?symbol=EURUSD")
    ticks = ticks_of(source, "EUR/USD")

    # 2013-01-01 21:59:59.981 UTC.
    assert ticks["time_msc"].tolist() == [1_357_077_599_981, 1_357_077_600_296]
    assert (ticks["bid"].tolist(), ticks["ask"].tolist()) == ([1.32023, 1.32027], [1.32054, 1.32051])
    assert (ticks["flags"].tolist(), source.clock.text, source.server_name) == ([6, 6], "UTC", "TrueFX")
    assert source.notes == ("EURUSD-2013-01.csv: 1 bad lines left out: line 3: pair 'GBP/USD', expected EUR/USD",)


def test_months_of_truefx_come_in_the_order_of_time(tmp_path: Path) -> None:
    put(tmp_path / "z/EURUSD-2013-01.csv", TRUEFX)
    with zipfile.ZipFile(tmp_path / "EURUSD-2013-02.zip", "w") as archive:
        archive.writestr("EURUSD-2013-02.csv", "EUR/USD,20130201 00:00:00.001,1.35,1.36\n")
    put(tmp_path / "EURUSD-2013-03.zip", b"PK\x03\x04 torn")

    source = played(f"truefx:{tmp_path}")

    assert bool(np.all(np.diff(ticks_of(source, "EUR/USD")["time_msc"]) > 0))
    assert len(ticks_of(source, "EUR/USD")) == 3
    assert len(source.notes) == 1
    assert "EURUSD-2013-03.zip: is damaged" in source.notes[0]


def test_a_second_process_rereads_the_same_rows(tmp_path: Path) -> None:
    put(tmp_path / NOON_FILE, pack((5, 110_002, 110_001, 1, 1), (9, 110_003, 110_001, 1, 1)))

    again = opening.open_for_rereading(spec.parse(f"dukascopy:{tmp_path}"), reached_msc=NOON_MSC + 5)

    found = again.terminal.copy_ticks_from("EURUSD", 1, 99, again.terminal.COPY_TICKS_ALL)
    assert found is not None
    assert found["time_msc"].tolist() == [NOON_MSC + 5]
