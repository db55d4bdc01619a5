"""Every flag says something to people."""

from quality import reasons
from tickhub.core.flags import Flag


def test_every_flag_has_words_and_they_come_in_bit_order() -> None:
    told = reasons.told(int(sum(Flag)))

    assert list(told) == [flag.name for flag in Flag]
    assert all(told.values())
