"""What is said of certificates by who holds nothing else: sums, links, keys, and the ticks of an export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.builders import make_ticks
from tests.unit.certificates.bodies import HOUR_MSC, KEY, NOTHING, ONE, THREE, TWO, body, stations
from tests.wire_client import digest
from tickhub import verify
from tickhub.certificates import document, verifying
from tickhub.certificates.document import DocumentInvalid
from tickhub.core.errors import UsageError

OWN = KEY.public_key().public_bytes_raw().hex()


def chain(*bodies: dict[str, Any]) -> list[str]:
    """Sign certificates, each naming the one before."""
    texts: list[str] = []
    for number, one in enumerate(bodies, start=1):
        previous = document.sha256(texts[-1]) if texts else None
        texts.append(document.sign(one | {"number": number, "previous": previous}, KEY))
    return texts


def test_a_chain_holds_and_says_how_it_is_linked() -> None:
    found = verifying.verify(chain(body(), body(), body()), public_key=OWN)

    assert [one.link for one in found] == ["the first of its feed", "follows certificate 1", "follows certificate 2"]
    assert all(one.is_whole for one in found)


def test_a_chain_of_which_one_is_left_out_tells_it_and_one_out_of_order_is_refused() -> None:
    first, second, third = chain(body(), body(), body())

    assert [one.link for one in verifying.verify([first, third])][1] == "follows certificate 2, which is not here"
    with pytest.raises(DocumentInvalid, match="document 2: certificate 1 does not follow from certificate 2"):
        verifying.verify([second, first])


def test_a_certificate_put_in_the_place_of_another_breaks_the_chain() -> None:
    first, _, third = chain(body(), body(), body())
    _, other, _ = chain(body(), body(revision=9), body())

    with pytest.raises(DocumentInvalid, match="document 3: certificate 3 does not follow"):
        verifying.verify([first, other, third])


def test_chains_of_two_feeds_may_be_mixed() -> None:
    own, others = chain(body(), body()), chain(body(symbol="GBPUSD"), body(symbol="GBPUSD"))

    found = verifying.verify([own[0], others[0], own[1], others[1]])

    assert [one.link for one in found][2:] == ["follows certificate 1"] * 2


def test_another_key_is_refused_where_one_is_expected() -> None:
    text = document.sign(body(), Ed25519PrivateKey.from_private_bytes(bytes(32)))

    assert len(verifying.verify([text])) == 1
    with pytest.raises(DocumentInvalid, match="signed by another key"):
        verifying.verify([text], public_key=OWN)


@pytest.mark.parametrize(
    "changes",
    [
        {"stations": stations(captured=TWO)},
        {"stations": stations(table=ONE)},
        {"stations": stations(quarantine=NOTHING)},
        {"stations": stations(failed=ONE, quarantined=NOTHING, quarantine=NOTHING)},
        {"stations": stations(waiting=ONE, quarantined=NOTHING, quarantine=NOTHING)},
        {"reasons": ["one tick waits"]},
        {"is_proven": False},
    ],
)
def test_a_certificate_that_calls_itself_whole_against_its_own_figures_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentInvalid, match="calls itself whole"):
        verifying.verify([document.sign(body(**changes), KEY)])


@pytest.mark.parametrize("name", ["number", "stations", "clock", "is_whole", "reasons", "from_msc"])
def test_a_certificate_without_what_belongs_to_one_is_refused(name: str) -> None:
    for value in (None, "x", True if name != "is_whole" else 1):
        with pytest.raises(DocumentInvalid):
            verifying.verify([document.sign(body(**{name: value}), KEY)])


def test_one_that_is_not_whole_is_valid_and_says_why() -> None:
    text = document.sign(body(is_whole=False, reasons=["1 ticks wait"], stations=stations(stored=ONE)), KEY)

    (found,) = verifying.verify([text])

    assert not found.is_whole
    assert found.line().endswith("3 captured, NOT WHOLE: 1 ticks wait")


def exported(tmp_path: Path, *, price: float = 1.1) -> Path:
    """An export in a terminal's clock three hours ahead: two ticks within the hour, one at its end."""
    ticks = make_ticks([(0, price, 1.2), (5, 1.1, 1.3), (3_600_000, 1.0, 1.1)], start_msc=HOUR_MSC + 10_800_000)
    np.savez(tmp_path / "x.npz", ticks=ticks)
    return tmp_path / "x.npz"


def counted() -> dict[str, Any]:
    """A certificate of those two ticks, digested by the client's own arithmetic."""
    rows = [
        (HOUR_MSC // 1000, 1.1, 1.2, 0.0, 0, HOUR_MSC, 6, 0.0),
        (HOUR_MSC // 1000, 1.1, 1.3, 0.0, 0, HOUR_MSC + 5, 6, 0.0),
    ]
    two = digest(rows)
    parts = stations(captured=two, stored=two, table=two, quarantined=NOTHING, quarantine=NOTHING)
    return body(stations=parts, clock=[{"offset_ms": 10_800_000, "from_msc": HOUR_MSC}])


def test_an_export_is_compared_in_the_terminals_clock(tmp_path: Path) -> None:
    (one,) = verifying.verify([document.sign(counted(), KEY)])

    verifying.compare(one, verifying.read_ticks(exported(tmp_path)))
    with pytest.raises(DocumentInvalid, match="certificate 1 counts 2 stored ticks, the file holds other ticks"):
        verifying.compare(one, verifying.read_ticks(exported(tmp_path, price=1.15)))


def test_a_period_with_a_switched_clock_cannot_be_compared(tmp_path: Path) -> None:
    both = [{"offset_ms": 0, "from_msc": HOUR_MSC}, {"offset_ms": 3_600_000, "from_msc": HOUR_MSC + 5}]
    (one,) = verifying.verify([document.sign(counted() | {"clock": both}, KEY)])

    with pytest.raises(UsageError, match="its clock is switched within it"):
        verifying.compare(one, verifying.read_ticks(exported(tmp_path)))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = verify.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_program_tells_what_holds_and_by_whose_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.jsonl").write_text("\n".join(chain(counted(), body())) + "\n")

    code, out, _ = run(capsys, tmp_path / "c.jsonl", "--public-key", OWN, "--json")

    assert code == 0
    assert "2 of 2 hold; signed by " + OWN in out
    assert json.loads(out.splitlines()[-1]) == {
        "certificates": 2,
        "valid": True,
        "in_force": 1,
        "not_whole": 0,
        "missing": [],
        "fault": None,
        "public_keys": [OWN],
    }


def test_the_program_compares_ticks_and_ends_with_1_where_they_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.json").write_text(document.sign(counted(), KEY))

    good = run(capsys, tmp_path / "c.json", "--ticks", exported(tmp_path))
    bad = run(capsys, tmp_path / "c.json", "--ticks", exported(tmp_path, price=2.0))

    assert good[0] == 0
    assert "the file holds the ticks that those in force count" in good[1]
    assert bad[0] == 1
    assert "INVALID: certificate 1 counts 2 stored ticks, the file holds other ticks" in bad[1]


def test_one_that_is_not_whole_ends_with_1_only_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = document.sign(body(is_whole=False, reasons=["no pass"], stations=stations(captured=THREE)), KEY)
    (tmp_path / "c.json").write_text(text)

    assert run(capsys, tmp_path / "c.json")[0] == 0
    assert run(capsys, tmp_path / "c.json", "--require-whole")[0] == 1


NEXT_HOUR = {"from_msc": HOUR_MSC + 3_600_000, "to_msc": HOUR_MSC + 7_200_000}
NOT_WHOLE = {"is_whole": False, "reasons": ["one tick waits"], "stations": stations(captured=THREE, stored=ONE)}


def written(tmp_path: Path, *texts: str) -> Path:
    (tmp_path / "c.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return tmp_path / "c.jsonl"


def test_ticks_are_compared_with_the_newest_certificate_of_an_hour_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = digest([(HOUR_MSC // 1000, 1.1, 1.2, 0.0, 0, HOUR_MSC, 6, 0.0)])
    parts = stations(captured=one, stored=one, table=one, quarantined=NOTHING, quarantine=NOTHING)
    before_the_late_tick = counted() | {"stations": parts}
    good, bad = chain(before_the_late_tick, counted()), chain(counted(), before_the_late_tick)

    code, out, _ = run(capsys, written(tmp_path, *good), "--ticks", exported(tmp_path))

    assert code == 0
    assert "1 captured, whole; the first of its feed; replaced by certificate 2\n" in out
    code, out, _ = run(capsys, written(tmp_path, *bad), "--ticks", exported(tmp_path))
    assert code == 1
    assert "INVALID: certificate 2 counts 1 stored ticks, the file holds 2 ticks" in out


@pytest.mark.parametrize(
    ("bodies", "code", "not_whole"),
    [
        ([body(**NOT_WHOLE), body()], 0, 0),
        ([body(), body(**NOT_WHOLE)], 1, 1),
        ([body(**NOT_WHOLE), body(**NEXT_HOUR), body()], 0, 0),
        ([body(**NOT_WHOLE), body(symbol="GBPUSD")], 1, 1),
    ],
)
def test_whole_has_to_be_what_no_later_certificate_of_the_hour_replaces(
    bodies: list[dict[str, Any]], code: int, not_whole: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feeds = [[one for one in bodies if one["symbol"] == symbol] for symbol in ("EURUSD", "GBPUSD")]
    path = written(tmp_path, *(text for feed in feeds for text in chain(*feed)))

    found, out, _ = run(capsys, path, "--require-whole", "--json")

    assert found == code
    assert json.loads(out.splitlines()[-1])["not_whole"] == not_whole


def test_certificates_left_out_of_a_chain_are_named_and_no_proof_that_it_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *left_out, last = chain(body(), body(**NOT_WHOLE), body(**NEXT_HOUR), body(**NEXT_HOUR))
    path = written(tmp_path, first, last)

    code, out, _ = run(capsys, path, "--json")

    assert len(left_out) == 2
    assert "MISSING: certificate 2 to 3 of EURUSD (broker), which may replace one that is here\n" in out
    report = json.loads(out.splitlines()[-1])
    assert report["missing"] == [{"source": "broker", "symbol": "EURUSD", "first": 2, "last": 3}]
    assert (code, report["not_whole"], run(capsys, path, "--require-whole")[0]) == (0, 0, 1)


def test_a_chain_that_begins_later_lacks_nothing_that_could_replace_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *later = chain(body(), body(**NEXT_HOUR), body(**NEXT_HOUR))

    assert run(capsys, written(tmp_path, *later), "--require-whole")[0] == 0


def test_names_and_reasons_reach_a_terminal_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "E\x1b[2J\r\n1 of 1 hold\x7f\x9b\u202e\u2028"
    text = document.sign(body(symbol=evil, is_whole=False, reasons=[evil], number=3, previous="0" * 64), KEY)
    later = document.sign(body(symbol=evil, number=5, previous="0" * 64), KEY)

    code, out, _ = run(capsys, written(tmp_path, text, later), "--json")

    assert code == 0
    lines = out.split("\n")
    assert len(lines) == 6  # two certificates, what is missing, the sum, the report, nothing
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith(r"certificate 3 of E\x1b[2J\r\n1 of 1 hold\x7f\x9b\u202e\u2028 (broker), 2026-03-02T12")
    assert json.loads(lines[4])["missing"][0]["symbol"] == evil


def test_a_fault_that_names_what_a_file_says_reaches_a_terminal_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = document.sign(body(format="\x1b]0;\x07"), KEY)

    code, out, _ = run(capsys, written(tmp_path, text))

    expected = r"INVALID: document 1: no certificate of a known format: expected tickhub-certificate-1, was \x1b]0;\x07"
    assert (code, out) == (1, f"{expected}\n")


@pytest.mark.parametrize("offset_ms", [10**30, -(10**30), 86_400_000, True, "0", None])
def test_an_offset_that_no_clock_has_is_refused(offset_ms: object) -> None:
    with pytest.raises(DocumentInvalid, match="its clock tells no offset"):
        verifying.verify([document.sign(body(clock=[{"offset_ms": offset_ms}]), KEY)])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "error: {}: No such file or directory\n"),
        (b"", "error: {}: holds no certificate\n"),
        (b"\xff\xfe\x00", "error: {}: is no text in UTF-8\n"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_exit_code_2(
    content: bytes | None, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)

    assert run(capsys, path) == (2, "", line.format(path))
