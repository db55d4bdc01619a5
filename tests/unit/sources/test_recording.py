"""Recordings: what is loaded bit for bit, what is left out and said, what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from ingest.sources import recording
from tests.builders import make_ticks, make_trades
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import UsageError
from tickhub.core.ticks import TICK_DTYPE

HEADER = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\r\n"
# 2022-11-10 15:00:00 as UTC.
THREE_PM_MSC = 1_668_092_400_000
SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"


def write_export(folder: Path, text: str, *, name: str = "EURUSD.csv", encoding: str = "ascii") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_npz_is_loaded_bit_for_bit_in_the_order_of_the_file(tmp_path: Path) -> None:
    ticks = make_ticks([(5, 1.1, 1.2), (3, float("nan"), 1.3), (3, 0.0, -1.0)])
    np.savez_compressed(tmp_path / "EURUSD.npz", ticks=ticks, recv_ns=np.arange(3))

    loaded = recording.load(tmp_path / "EURUSD.npz")

    assert (loaded.symbol, loaded.bad_lines) == ("EURUSD", 0)
    assert tick_arrays.same(loaded.ticks, ticks)
    assert not loaded.ticks.flags.writeable


def test_npz_with_another_record_is_refused(tmp_path: Path) -> None:
    unpacked = np.zeros(3, dtype=np.dtype([("time_msc", "<i8"), ("bid", "<f8")]))
    np.savez(tmp_path / "EURUSD.npz", ticks=unpacked)

    with pytest.raises(UsageError, match=r"EURUSD.npz: array ticks is not one row of 60-byte MT5 ticks$"):
        recording.load(tmp_path / "EURUSD.npz")


def test_npz_without_the_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", rows=np.zeros(3, dtype=TICK_DTYPE))

    with pytest.raises(UsageError, match=r"holds no array named ticks$"):
        recording.load(tmp_path / "EURUSD.npz")


def test_npz_without_a_tick_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=np.zeros(0, dtype=TICK_DTYPE))

    with pytest.raises(UsageError, match=r"holds no ticks$"):
        recording.load(tmp_path / "EURUSD.npz")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_npz_that_was_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(i, 1.0, 1.1) for i in range(1000)]))
    raw = (tmp_path / "EURUSD.npz").read_bytes()
    (tmp_path / "EURUSD.npz").write_bytes(raw[: int(len(raw) * kept)])

    with pytest.raises(UsageError, match=r"EURUSD.npz: is no .npz file, or a truncated one$"):
        recording.load(tmp_path / "EURUSD.npz")


def test_npz_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(i, 1.0, 1.1) for i in range(1000)]))
    raw = bytearray((tmp_path / "EURUSD.npz").read_bytes())
    raw[30_000] ^= 1
    (tmp_path / "EURUSD.npz").write_bytes(raw)

    with pytest.raises(UsageError, match="array ticks cannot be read: Bad CRC-32"):
        recording.load(tmp_path / "EURUSD.npz")


class Explosive:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=np.array([Explosive(tmp_path / "ran")], dtype=object))
    (tmp_path / "GBPUSD.npz").write_bytes(pickle.dumps(Explosive(tmp_path / "ran")))

    for name in ("EURUSD.npz", "GBPUSD.npz"):
        with pytest.raises(UsageError):
            recording.load(tmp_path / name)

    assert not (tmp_path / "ran").exists()


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"EURUSD.npz: no such file$"):
        recording.load(tmp_path / "EURUSD.npz")


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "EURUSD.txt").write_text("x")

    with pytest.raises(UsageError, match=r"expected a file named .npz, .csv or .tsv$"):
        recording.load(tmp_path / "EURUSD.txt")


def test_export_fills_an_empty_field_from_the_row_before(tmp_path: Path) -> None:
    path = write_export(
        tmp_path,
        HEADER
        + "2022.11.10\t15:00:00.017\t0.86682\t\t\t\t2\r\n"
        + "2022.11.10\t15:00:00.018\t\t0.86712\t\t\t4\r\n"
        + "2022.11.10\t15:00:01.000\t\t\t0.867\t2.5\t24\r\n"
        + "2022.11.10\t15:00:01.000\t0.86683\t\t\t\t1026\r\n",
    )

    loaded = recording.load(path)

    second = THREE_PM_MSC // 1000
    assert loaded.ticks.tolist() == [
        (second, 0.86682, 0.0, 0.0, 0, THREE_PM_MSC + 17, 2, 0.0),
        (second, 0.86682, 0.86712, 0.0, 0, THREE_PM_MSC + 18, 4, 0.0),
        (second + 1, 0.86682, 0.86712, 0.867, 2, THREE_PM_MSC + 1000, 24, 2.5),
        (second + 1, 0.86683, 0.86712, 0.867, 2, THREE_PM_MSC + 1000, 1026, 2.5),
    ]


def test_export_without_flags_names_the_fields_that_are_given(tmp_path: Path) -> None:
    path = write_export(
        tmp_path,
        "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\n"
        "2022.11.10\t15:00:00\t1.1\t1.2\t\t\n"
        "2022.11.10\t15:00:00\t1.1\t\t\t\n"
        "2022.11.10\t15:00:00\t\t1.2\t\t\n"
        "2022.11.10\t15:00:00\t\t\t1.15\t3\n",
    )

    assert recording.load(path).ticks["flags"].tolist() == [6, 2, 4, 24]


def test_export_names_the_fields_of_a_row_whose_flags_are_empty(tmp_path: Path) -> None:
    path = write_export(tmp_path, HEADER + "2022.11.10\t15:00:00.000\t1.1\t\t\t\t\r\n")

    assert recording.load(path).ticks["flags"].tolist() == [2]


def test_export_takes_columns_in_any_order_and_missing_ones_as_zero(tmp_path: Path) -> None:
    path = write_export(tmp_path, "<FLAGS>\t<ASK>\t<TIME>\t<BID>\t<DATE>\n6\t1.2\t15:00:00.001\t1.1\t2022.11.10\n")

    assert recording.load(path).ticks.tolist() == [(THREE_PM_MSC // 1000, 1.1, 1.2, 0.0, 0, THREE_PM_MSC + 1, 6, 0.0)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_export_is_read_in_the_encodings_of_windows(tmp_path: Path, encoding: str) -> None:
    path = write_export(tmp_path, HEADER + "2022.11.10\t15:00:00.001\t1.1\t1.2\t\t\t6\r\n", encoding=encoding)

    assert recording.load(path).ticks["time_msc"].tolist() == [THREE_PM_MSC + 1]


def test_export_keeps_every_good_line_and_counts_every_bad_one(tmp_path: Path) -> None:
    path = write_export(
        tmp_path,
        HEADER
        + "2022.11.10\t15:00:00.001\t1.1\t1.2\t\t\t6\r\n"
        + "2022.11.31\t15:00:00.002\t1.1\t1.2\t\t\t6\r\n"
        + "2022.11.10\t15:00:60.003\t1.1\t1.2\t\t\t6\r\n"
        + "2022.11.10\t15:00:00.004\t1,1\t1.2\t\t\t6\r\n"
        + "2022.11.10\t15:00:00.005\t1.1\tnan\t\t\t6\r\n"
        + "2022.11.10\t15:00:00.006\t1.1\t1.2\t\t-1\t6\r\n"
        + "2022.11.10\t15:00:00.007\t1.1\t1.2\t\t\t6.5\r\n"
        + "2022.11.10\t15:00:00.008\t1.1\r\n"
        + "\r\n"
        + "2022.11.10\t15:00:00.009\t\t1.3\t\t\t4\r\n"
        + "2022.11.10\t15:00:00.0",
    )

    loaded = recording.load(path)

    assert loaded.ticks[["time_msc", "bid", "ask"]].tolist() == [
        (THREE_PM_MSC + 1, 1.1, 1.2),
        (THREE_PM_MSC + 9, 1.1, 1.3),
    ]
    assert loaded.bad_lines == 8
    assert loaded.bad_examples == [
        "line 3: DATE '2022.11.31' is no date",
        "line 4: TIME '15:00:60.003' is no time",
        "line 5: BID '1,1' is no price",
        "line 6: ASK 'nan' is no price",
        "line 7: VOLUME '-1' is no volume",
    ]


def test_bad_line_is_not_what_a_later_empty_field_is_filled_from(tmp_path: Path) -> None:
    path = write_export(
        tmp_path,
        HEADER
        + "2022.11.10\t15:00:00.001\t1.1\t1.2\t\t\t6\r\n"
        + "2022.11.10\t15:00:00.xxx\t9.9\t9.9\t\t\t6\r\n"
        + "2022.11.10\t15:00:00.003\t\t1.3\t\t\t4\r\n",
    )

    assert recording.load(path).ticks["bid"].tolist() == [1.1, 1.1]


def test_negative_price_of_an_export_is_a_price(tmp_path: Path) -> None:
    path = write_export(tmp_path, HEADER + "2020.04.20\t15:00:00.001\t-37.63\t-37.6\t\t\t6\r\n")

    assert recording.load(path).ticks["bid"].tolist() == [-37.63]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no tick export"),
        ("a,b,c\n1,2,3\n", "is no tick export"),
        ("<DATE>\t<TIME>\t<OPEN>\t<HIGH>\n", "is no tick export"),
        ("<DATE>\t<TIME>\t<BID>\t<BID>\n", "is no tick export: column 'BID' occurs twice"),
        (HEADER, "holds no good line"),
        (HEADER + "2022.11.10\tnoon\t1\t1\t\t\t6\r\n", "holds no good line, line 2: TIME 'noon' is no time"),
        (HEADER + "x\r\n", "holds no good line, line 2: 1 fields, expected 7"),
    ],
)
def test_export_without_one_good_line_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = write_export(tmp_path, text)

    with pytest.raises(UsageError) as raised:
        recording.load(path)

    assert str(raised.value).startswith(f"recording {path}: {problem}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("mt5native_MetaQuotes-Demo_EURUSD_20230622.npz", "EURUSD"),
        ("mt5live_Vantage_BTCUSD_20260307_090342.npz", "BTCUSD"),
        ("derived_mt5_export_layout_USDJPY_20251107.csv", "USDJPY"),
        ("eurusd_fxcm_201405.npz", "EURUSD"),
        ("spy_lean_trades_201310.npz", "SPY"),
        ("aig_nyse_20131009.npz", "AIG"),
        ("20250101_EURUSD.m_x.npz", "20250101"),
        ("20250101_US500.f_DE40.C.npz", "DE40.C"),
        ("mt5native_derived_gold.npz", "GOLD"),
        ("EU_GBPUSD.npz", "GBPUSD"),
    ],
)
def test_symbol_is_read_from_the_name_of_the_file(name: str, symbol: str) -> None:
    assert recording.symbol_of(Path(name)) == symbol


def test_name_without_a_symbol_is_refused() -> None:
    with pytest.raises(UsageError, match="its name holds no symbol, give one with symbol="):
        recording.symbol_of(Path("derived.npz"))


def test_folder_numbers_the_files_of_one_symbol_in_the_order_of_names(tmp_path: Path) -> None:
    for name, bid in (("EURUSD_c", 3.0), ("eurusd_a", 4.0), ("EURUSD_a", 1.0), ("EURUSD_b", 2.0), ("GBPUSD", 5.0)):
        np.savez(tmp_path / f"{name}.npz", ticks=make_ticks([(0, bid, bid)]))

    loaded, skipped = recording.load_folder(tmp_path)

    assert [(r.symbol, r.ticks["bid"][0]) for r in loaded] == [
        ("EURUSD", 1.0),
        ("EURUSD.2", 2.0),
        ("EURUSD.3", 3.0),
        ("GBPUSD", 5.0),
        ("EURUSD.4", 4.0),
    ]
    assert skipped == []


def test_folder_says_what_it_skips_and_why(tmp_path: Path) -> None:
    np.savez(tmp_path / "EURUSD.npz", ticks=make_ticks([(0, 1.0, 1.1)]))
    (tmp_path / "GBPUSD.npz").write_bytes(b"PK")
    write_export(tmp_path, HEADER, name="USDJPY.tsv")
    (tmp_path / "SOURCES.md").write_text("about")
    (tmp_path / "sub.npz").mkdir()

    loaded, skipped = recording.load_folder(tmp_path)

    assert [r.symbol for r in loaded] == ["EURUSD"]
    assert skipped == [
        "GBPUSD.npz: is no .npz file, or a truncated one",
        "SOURCES.md: is no recording",
        "USDJPY.tsv: holds no good line",
        "sub.npz: is no recording",
    ]


def test_folder_without_a_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SOURCES.md").write_text("about")

    with pytest.raises(UsageError, match=r"folder .*: holds no recording$"):
        recording.load_folder(tmp_path)


@pytest.mark.parametrize(
    ("prices", "digits"),
    [
        ([(1.1, 1.12345)], 5),
        ([(153.428, 153.43)], 3),
        ([(67606.99, 67624.05)], 2),
        ([(100.0, 0.0)], 0),
        ([(3.6194699999999997, 10.696110000000001)], 5),
        ([(1 / 3, 1.0)], 8),
        ([(0.00001234, 0.00001235)], 8),
        ([(float("nan"), float("inf"))], 0),
        ([(-37.63, -37.6)], 2),
    ],
)
def test_digits_are_the_fewest_that_write_every_price(prices: list[tuple[float, float]], digits: int) -> None:
    assert recording.digits(make_ticks([(0, bid, ask) for bid, ask in prices])) == digits


def test_recording_of_trades_alone_is_not_quoted() -> None:
    assert not recording.is_quoted(make_trades([(0, 167.41, 100)]))
    assert recording.is_quoted(make_ticks([(0, 0.0, 0.0), (1, 1.1, 0.0)]))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded data of shared/data are not here")
def test_real_export_layout_equals_the_native_records_it_was_written_from() -> None:
    exported = recording.load(SHARED / "derived_mt5_export_layout_USDJPY_20251107.csv")
    native = recording.load(SHARED / "mt5native_Pepperstone-Demo_USDJPY_20251107.npz")

    assert (exported.symbol, exported.bad_lines) == ("USDJPY", 0)
    assert tick_arrays.same(exported.ticks, native.ticks)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded data of shared/data are not here")
def test_real_folder_is_played_whole() -> None:
    loaded, skipped = recording.load_folder(SHARED)

    assert skipped == ["SHA256SUMS: is no recording", "SOURCES.md: is no recording"]
    assert len(loaded) == 45
    assert [r.symbol for r in loaded if r.symbol.startswith("EURUSD")] == [
        "EURUSD",
        "EURUSD.2",
        "EURUSD.3",
        "EURUSD.4",
    ]
