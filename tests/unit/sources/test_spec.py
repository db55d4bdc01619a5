"""What a SPEC says, and what is refused with one line that names it."""

from pathlib import Path

import pytest

from ingest.sources import spec
from ingest.sources.spec import AgentSpec, Mt5Spec, ReplaySpec, SimSpec
from tickhub.core import zones
from tickhub.core.errors import UsageError

SCHEMES = "mt5:, sim:, replay:, agent:, dukascopy:, histdata:, truefx:"


def test_sim_without_parameters_is_four_symbols_at_fifty_ticks_per_second() -> None:
    parsed = spec.parse("sim:")

    assert isinstance(parsed, SimSpec)
    assert (parsed.symbols, parsed.rate, parsed.seed) == (("EURUSD", "GBPUSD", "USDJPY", "XAUUSD"), 50.0, 1)


def test_sim_reads_symbols_rate_and_seed() -> None:
    parsed = spec.parse("sim:?symbols=EURUSD%23,US%2C500&rate=2.5&seed=0")

    assert isinstance(parsed, SimSpec)
    assert (parsed.symbols, parsed.rate, parsed.seed) == (("EURUSD#", "US,500"), 2.5, 0)


def test_sim_is_identified_by_symbols_rate_and_seed_alone() -> None:
    parsed = spec.parse("sim:?seed=7&clock=%2B03:00&rate=1000&symbols=EURUSD%23,GBPUSD")

    assert parsed.identity == "sim:?symbols=EURUSD%23,GBPUSD&rate=1000&seed=7"


def test_replay_is_identified_by_its_resolved_path_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()

    parsed = spec.parse(f"replay:{tmp_path}/sub/../EURUSD.npz?symbol=EURUSD.m&speed=max")

    assert parsed.identity == f"replay:{tmp_path.resolve()}/EURUSD.npz"


def test_name_is_the_identity_where_it_is_given() -> None:
    assert spec.parse("sim:?name=my%20market").identity == "my market"


def test_replay_plays_in_real_time_unless_told_otherwise() -> None:
    parsed = spec.parse("replay:EURUSD.npz")

    assert isinstance(parsed, ReplaySpec)
    assert (parsed.speed, parsed.symbol, parsed.start_msc) == (1.0, None, None)


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("50", 50.0), ("0.5", 0.5), ("1", 1.0)])
def test_replay_reads_its_speed(text: str, speed: float | None) -> None:
    parsed = spec.parse(f"replay:EURUSD.npz?speed={text}")

    assert isinstance(parsed, ReplaySpec)
    assert parsed.speed == speed


def test_replay_reads_a_percent_encoded_path_symbol_and_start() -> None:
    parsed = spec.parse("replay:/data/a%20b%3F.npz?symbol=EURUSD%23&start=2014-05-01T05:00:00Z")

    assert isinstance(parsed, ReplaySpec)
    assert (parsed.path, parsed.symbol, parsed.start_msc) == (Path("/data/a b?.npz"), "EURUSD#", 1_398_920_400_000)


def test_from_is_read_as_iso_and_as_epoch_milliseconds() -> None:
    iso = spec.parse("sim:?from=2014-05-01T08:00:00%2B03:00")
    number = spec.parse("sim:?from=1398920400000")

    assert (iso.begins_msc, number.begins_msc) == (1_398_920_400_000, 1_398_920_400_000)


def test_mt5_and_agent_have_identities_of_their_own() -> None:
    terminal, agent = spec.parse("mt5:demo"), spec.parse("agent:")

    assert isinstance(terminal, Mt5Spec)
    assert isinstance(agent, AgentSpec)
    assert (terminal.terminal, terminal.identity, agent.identity) == ("demo", "mt5:demo", "agent:")


@pytest.mark.parametrize(
    ("text", "offset_ms"),
    [
        ("UTC", 0),
        ("+03:00", 10_800_000),
        ("%2B03:00", 10_800_000),
        ("UTC+3", 10_800_000),
        ("-5h", -18_000_000),
        ("+0530", 19_800_000),
        ("GMT-02:30", -9_000_000),
    ],
)
def test_clock_reads_fixed_offsets(text: str, offset_ms: int) -> None:
    rule = spec.parse(f"sim:?clock={text}").clock

    assert rule is not None
    assert rule.offset_ms(0) == offset_ms


NO_CLOCK = (
    "expected UTC, an offset such as +03:00, a time zone such as Europe/Athens, or a zone and a shift such as NY+7"
)


@pytest.mark.parametrize("text", ["NY%2B7", "America/New_York%2B07:00", "NewYork+7h"])
def test_clock_reads_a_zone_with_a_shift(text: str) -> None:
    rule = spec.parse(f"sim:?clock={text}").clock

    assert rule is not None
    assert rule.text == "America/New_York+07:00"


def test_clock_that_is_not_given_is_none_and_not_utc() -> None:
    assert spec.parse("sim:").clock is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EURUSD.npz", "source 'EURUSD.npz': unknown scheme, expected one of " + SCHEMES),
        ("ftp:x", "source 'ftp:x': unknown scheme, expected one of " + SCHEMES),
        (
            "sim:?symbols=EURUSD#",
            "source sim:?symbols=EURUSD#: has a fragment (#…); write %23 where a symbol or path contains #",
        ),
        ("sim:?speed=1", "source sim:?speed=1: sim: has no parameter speed="),
        ("sim:?rate=1&rate=2", "source sim:?rate=1&rate=2: parameter rate= is given twice"),
        ("sim:?rate=", "source sim:?rate=: parameter 'rate=' is empty, expected key=value"),
        ("sim:?rate", "source sim:?rate: parameter 'rate' is empty, expected key=value"),
        ("sim:?rate=0", "source sim:?rate=0: rate=0: expected ticks per second, above 0 and at most 1,000,000"),
        ("sim:?rate=nan", "source sim:?rate=nan: rate=nan: expected a number"),
        (
            "sim:?seed=-1",
            "source sim:?seed=-1: seed=-1: expected a whole number from 0 on, of at most 18 digits",
        ),
        ("sim:?symbols=A,B,A", "source sim:?symbols=A,B,A: symbols=A,B,A: symbol A is given twice"),
        ("sim:?symbols=A,,B", "source sim:?symbols=A,,B: symbols=A,,B: '' is no symbol"),
        ("sim:?clock=Mars/Base", f"source sim:?clock=Mars/Base: clock=Mars/Base: {NO_CLOCK}"),
        ("sim:?clock=3", f"source sim:?clock=3: clock=3: {NO_CLOCK}"),
        ("sim:?clock=+16", "source sim:?clock=+16: clock=+16: expected an offset of at most 15 hours"),
        ("replay:", "source replay:: expected replay:PATH, a recording or a folder of them"),
        ("replay:x.npz?speed=0", "source replay:x.npz?speed=0: speed=0: expected max or a number above 0"),
        ("replay:x.npz?speed=fast", "source replay:x.npz?speed=fast: speed=fast: expected a number"),
        (
            "replay:x.npz?start=noon",
            (
                "source replay:x.npz?start=noon: start=noon: time 'noon': expected ISO 8601 like 2014-05-01T05:00:00Z, "
                "or epoch milliseconds"
            ),
        ),
        ("mt5:", "source mt5:: expected mt5:NAME, a name from the sources file"),
        ("agent:x", "source agent:x: expected nothing after agent:, found 'x'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_that_names_it(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        spec.parse(text)

    assert str(raised.value) == message


def test_a_symbol_has_at_most_thirty_characters() -> None:
    parsed = spec.parse("sim:?symbols=" + "A" * 30)

    assert isinstance(parsed, SimSpec)
    with pytest.raises(UsageError, match="has 31 characters, at most 30 are allowed"):
        spec.parse("sim:?symbols=" + "A" * 31)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dukascopy:x?clock=%2B03:00", "clock=: files of dukascopy are at UTC, always"),
        ("histdata:x?clock=UTC", "clock=: files of histdata are at -05:00, always"),
        ("histdata:", "expected histdata:PATH, a file or a folder of them"),
        ("truefx:x?digits=9", "digits=9: expected the decimals of a price, 0 to 8"),
        ("sim:?priority=-1", "priority=-1: expected a whole number from 0 to 32767; the lowest is preferred"),
        ("sim:?priority=32768", "priority=32768: expected a whole number from 0 to 32767; the lowest is preferred"),
        ("replay:x?digits=5", "replay: has no parameter digits="),
    ],
)
def test_what_a_provider_or_a_priority_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        spec.parse(text)

    assert str(raised.value) == f"source {text}: {message}"


def test_the_clock_of_a_provider_is_its_own_and_may_be_named() -> None:
    assert spec.parse("histdata:x").clock == zones.parse("-05:00")
    assert spec.parse("histdata:x?clock=-05:00").clock == zones.parse("-05:00")
    assert spec.parse("truefx:x?clock=UTC").clock == zones.UTC


def test_a_provider_is_identified_by_path_symbol_and_given_digits(tmp_path: Path) -> None:
    assert spec.parse(f"dukascopy:{tmp_path}").identity == f"dukascopy:{tmp_path}"
    assert spec.parse(f"truefx:{tmp_path}?symbol=EUR/USD&speed=max&priority=7").identity == (
        f"truefx:{tmp_path}?symbol=EUR%2FUSD"
    )
    assert spec.parse(f"dukascopy:{tmp_path}?digits=3&symbol=BTCUSD").identity == (
        f"dukascopy:{tmp_path}?symbol=BTCUSD&digits=3"
    )


def test_every_scheme_knows_a_priority_and_none_is_not_a_hundred() -> None:
    assert [spec.parse(f"{body}priority=7").priority for body in ("sim:?", "mt5:demo?", "agent:?", "replay:x?")] == [
        7
    ] * 4
    assert spec.parse("sim:").priority is None
