"""The real terminal's adapter, with the simulated terminal in the place of the package."""

import sys
from pathlib import Path

import pytest

from ingest.sources import mt5, spec
from ingest.sources.session import WrongAccount
from ingest.sources.simulator import LOGIN, Listing, SimulatedTerminal
from ingest.sources.spec import Mt5Spec
from ingest.sources.tape import RecordingTape
from tests.builders import NOON_MSC, make_ticks
from tickhub.core.errors import UsageError

SOURCES = """
[demo]
path = "C:/Program Files/MT5/terminal64.exe"
login = {login}
password_file = "{folder}/password"
server = "Simulated-Demo"
clock = "+03:00"
symbols = ["EURUSD"]
"""


def demo(text: str = "mt5:demo") -> Mt5Spec:
    parsed = spec.parse(text)
    assert isinstance(parsed, Mt5Spec)
    return parsed


def write_sources(folder: Path, *, login: int = LOGIN, without: str | None = None) -> str:
    (folder / "password").write_text("investor\n")
    lines = SOURCES.format(login=login, folder=folder).splitlines(keepends=True)
    (folder / "sources.toml").write_text("".join(line for line in lines if not without or not line.startswith(without)))
    return str(folder / "sources.toml")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> SimulatedTerminal:
    """Put a simulated terminal where the MetaTrader5 module would be imported from."""
    tape = RecordingTape(make_ticks([(0, 1.0, 1.1)]))
    simulated = SimulatedTerminal({"EURUSD": Listing(tape, digits=4)}, now_msc=lambda: NOON_MSC + 60_000)
    monkeypatch.setitem(sys.modules, "MetaTrader5", simulated)
    return simulated


def add(sources: str, *lines: str) -> str:
    """Add lines to the table of a sources file."""
    with Path(sources).open("a") as file:
        file.write("\n".join(lines) + "\n")
    return sources


@pytest.mark.usefixtures("package")
def test_terminal_of_the_sources_file_is_opened_under_its_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKHUB_SOURCES_FILE", write_sources(tmp_path))

    source = mt5.open_source(demo(), host_now_msc=lambda: NOON_MSC + 123)

    assert (source.symbols, source.server_name, source.clock.text) == (("EURUSD",), "Simulated-Demo", "+03:00")
    assert source.begin_poll() == NOON_MSC + 123
    assert source.begins_msc("EURUSD", NOON_MSC + 123) == NOON_MSC
    assert (source.digits("EURUSD"), source.is_quoted("EURUSD")) == (4, True)
    assert (source.is_replay, source.can_be_reread, source.is_exhausted()) == (False, False, False)


def test_another_account_of_the_terminal_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: SimulatedTerminal
) -> None:
    monkeypatch.setenv("TICKHUB_SOURCES_FILE", write_sources(tmp_path))
    source = mt5.open_source(demo(), host_now_msc=lambda: NOON_MSC)

    package.account_login = 999

    with pytest.raises(WrongAccount):
        source.begin_poll()


def test_description_never_shows_login_or_password(tmp_path: Path) -> None:
    described = mt5.describe(demo(), write_sources(tmp_path, login=987_654))

    assert described.password == "investor"
    assert "987654" not in repr(described)
    assert "investor" not in repr(described)


@pytest.mark.parametrize("key", ["path", "login", "password_file", "server", "clock", "symbols"])
def test_every_value_is_required(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=rf"sources.toml, \[demo\]: {key} is missing or is no "):
        mt5.describe(demo(), write_sources(tmp_path, without=key))


def test_clock_of_the_spec_takes_the_place_of_the_file_s(tmp_path: Path) -> None:
    described = mt5.describe(demo("mt5:demo?clock=UTC"), write_sources(tmp_path, without="clock"))

    assert described.clock.text == "UTC"


def test_missing_file_and_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^mt5:demo: TICKHUB_SOURCES_FILE names no sources file$"):
        mt5.describe(demo(), None)
    with pytest.raises(UsageError, match=r"sources.toml: has no table \[live\]$"):
        mt5.describe(demo("mt5:live"), write_sources(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_are_read_as_notepad_and_powershell_write_them(tmp_path: Path, encoding: str) -> None:
    sources = Path(write_sources(tmp_path))
    for path in (sources, tmp_path / "password"):
        path.write_bytes(path.read_text().encode(encoding))

    assert mt5.describe(demo(), str(sources)).password == "investor"


def test_a_password_file_that_is_no_text_is_one_line_without_the_password(tmp_path: Path) -> None:
    sources = write_sources(tmp_path)
    (tmp_path / "password").write_bytes("geheim ä".encode("latin-1"))

    with pytest.raises(UsageError) as raised:
        mt5.describe(demo(), sources)

    assert str(raised.value).endswith(
        f"[demo]: password_file {tmp_path}/password: is no text in UTF-8, or UTF-16 with a byte-order mark"
    )


def test_optional_values_of_the_file_are_taken(tmp_path: Path) -> None:
    sources = add(
        write_sources(tmp_path), 'trade_mode = "real"', "portable = true", "timeout_ms = 9000", "priority = 5"
    )

    described = mt5.describe(demo(), sources)

    assert (described.trade_mode, described.is_portable, described.timeout_ms, described.priority) == (2, True, 9000, 5)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('trade_mode = "paper"', "trade_mode is 'paper', expected one of demo, contest, real"),
        ("portable = 1", "portable is no bool"),
        ("timeout_ms = 0", "timeout_ms is 0, expected 1 to 2147483647"),
        ("priority = 40000", "priority is 40000, expected 1 to 32767"),
        ('suffix = ""', "suffix is '', expected an ending such as .m"),
        ('instruments = "EURUSD"', "instruments is no table of symbol = code"),
        ('instruments = {GBPUSD = "GBPUSD"}', "instruments names GBPUSD, which is not among its symbols"),
        ('instruments = {EURUSD = ""}', "instruments says that EURUSD is '', which is no code"),
    ],
)
def test_value_that_cannot_be_used_is_named(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        mt5.describe(demo(), add(write_sources(tmp_path), line))

    assert str(raised.value).endswith(f"sources.toml, [demo]: {problem}")


@pytest.mark.parametrize(
    ("lines", "mapped"),
    [
        ([], ["EURUSDc", "EURUSD.m", "GBPUSD#"]),
        (['suffix = "c"', 'instruments = {"EURUSD.m" = "EURUSD.M"}'], ["EURUSD", "EURUSD.M", "GBPUSD#"]),
        (['suffix = "#"'], ["EURUSDc", "EURUSD.m", "GBPUSD"]),
    ],
)
def test_symbol_is_the_instrument_that_the_file_says_and_none_is_guessed(
    tmp_path: Path, lines: list[str], mapped: list[str]
) -> None:
    sources = write_sources(tmp_path, without="symbols")
    add(sources, 'symbols = ["EURUSDc", "EURUSD.m", "GBPUSD#"]', *lines)

    rules = mt5.describe(demo(), sources).rules

    assert [rules.of(symbol).code for symbol in ("EURUSDc", "EURUSD.m", "GBPUSD#")] == mapped


def test_two_symbols_cannot_be_one_instrument(tmp_path: Path) -> None:
    sources = write_sources(tmp_path, without="symbols")

    with pytest.raises(UsageError, match="EURUSDc and EURUSD would both be the instrument EURUSD"):
        mt5.describe(demo(), add(sources, 'symbols = ["EURUSDc", "EURUSD"]', 'suffix = "c"'))


def test_account_of_another_trade_mode_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: SimulatedTerminal
) -> None:
    monkeypatch.setenv("TICKHUB_SOURCES_FILE", add(write_sources(tmp_path), 'trade_mode = "demo"'))
    package.trade_mode = package.ACCOUNT_TRADE_MODE_REAL

    with pytest.raises(WrongAccount, match=r"^mt5:demo: the terminal is on a real account, not a demo one$"):
        mt5.open_source(demo(), host_now_msc=lambda: NOON_MSC)


def test_rows_read_while_the_account_changed_are_not_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: SimulatedTerminal
) -> None:
    monkeypatch.setenv("TICKHUB_SOURCES_FILE", write_sources(tmp_path))
    source = mt5.open_source(demo(), host_now_msc=lambda: NOON_MSC)
    source.begin_poll()

    package.faults.before_call = lambda name: setattr(package, "account_login", 999) if "copy" in name else None

    with pytest.raises(WrongAccount):
        source.terminal.copy_ticks_from("EURUSD", NOON_MSC // 1000, 9, package.COPY_TICKS_ALL)
