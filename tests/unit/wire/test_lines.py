"""JSON lines: what other programs really write is read, and what is no number is refused in one line."""

import pytest

from ingest.wire import lines
from ingest.wire.closing import Malformed
from ingest.wire.messages import Beat, Digests, Failed
from tickhub.core.digest import Digest

ZERO = "0000000000000000"


def digests(entry: str) -> str:
    return f'{{"type":"digests","request":4,"digests":[{entry}]}}'


def test_a_digest_is_read_to_its_last_bit() -> None:
    entry = '[18446744073709551615,"ffffffffffffffff","00000000000000AB"]'

    assert lines.from_agent(digests(entry)) == [Digests(4, (Digest((1 << 64) - 1, (1 << 64) - 1, 0xAB),))]


@pytest.mark.parametrize("count", ["Infinity", "-Infinity", "NaN", "1e400", '"5"', "1.9", "true", "-1", "1" + "0" * 20])
def test_a_count_that_is_no_whole_number_of_64_bits_is_refused(count: str) -> None:
    with pytest.raises(Malformed, match=r"^message: digests\[0\]: count: expected a whole number from 0 to 1844674"):
        lines.from_agent(digests(f'[{count},"{ZERO}","{ZERO}"]'))


@pytest.mark.parametrize("sum1", ["5", '"5"', '"0x00000000000000"', '"00000000_0000000"', '"-000000000000001"', "null"])
def test_a_sum_that_is_not_16_hexadecimal_digits_is_refused(sum1: str) -> None:
    with pytest.raises(Malformed, match=r"^message: digests\[0\]: expected each sum as a text of 16 hexadecimal"):
        lines.from_agent(digests(f'[0,{sum1},"{ZERO}"]'))


@pytest.mark.parametrize("entry", ["5", "[]", "null", f'[0,"{ZERO}"]'])
def test_an_entry_of_another_form_is_refused(entry: str) -> None:
    with pytest.raises(Malformed, match=r"^message: digests\[0\]: expected \[count, sum1, sum2\]$"):
        lines.from_agent(digests(entry))


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x7f"])
def test_a_text_may_hold_characters_that_end_lines_elsewhere(character: str) -> None:
    text = f'{{"type":"failed","request":4,"error":[-1,"a{character}b"]}}\r\n{{"type":"beat"}}\n'

    assert lines.from_agent(text) == [Failed(4, (-1, "a?b")), Beat()]
