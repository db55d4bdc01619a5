"""A line that counts: rewritten in place on a terminal, told every few seconds elsewhere."""

import io

from tickhub.management.counting import Counting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_in_place_and_gets_it_ended() -> None:
    stream = Terminal()

    with Counting(stream) as counting:
        counting.show(3, "fetched 1")

    assert stream.getvalue() == "\rof 3: fetched 1\x1b[K\n"


def test_what_comes_at_once_is_not_shown_again() -> None:
    terminal, pipe = Terminal(), io.StringIO()

    for stream in (terminal, pipe):
        with Counting(stream) as counting:
            for count in range(1_000):
                counting.show(1_000, f"fetched {count}")

    assert terminal.getvalue().count("\r") < 10
    assert pipe.getvalue() == ""
