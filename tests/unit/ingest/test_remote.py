"""An agent's terminal: rows that do not fit their read are a failed read, never ticks."""

from collections.abc import Sequence

import pytest

from ingest.bridge.link import Link
from ingest.bridge.remote import RemoteTerminal
from ingest.wire.messages import FromBridge, ReadRequest, Rows
from tests.builders import NOON_MSC, make_ticks


def terminal(*answers: Sequence[int]) -> RemoteTerminal:
    """A terminal whose agent answers each read with these rows, milliseconds after noon, message by message."""

    def answer(request: FromBridge) -> None:
        assert isinstance(request, ReadRequest)
        for number, times in enumerate(answers, start=1):
            ticks = make_ticks([(after_ms, 1.1, 1.2) for after_ms in times])
            link.put_answer(Rows(request.request, ticks, has_more=number < len(answers)))

    link = Link(transmit=answer, answer_s=0.0)
    return RemoteTerminal(link, ["EURUSD"])


def read(remote: RemoteTerminal) -> list[int] | None:
    found = remote.read("EURUSD", NOON_MSC + 100, NOON_MSC + 200)
    return None if found is None else (found["time_msc"] - NOON_MSC).tolist()


def test_rows_of_several_messages_are_joined() -> None:
    remote = terminal([100, 100, 150], [], [150, 199], [])

    assert read(remote) == [100, 100, 150, 150, 199]
    assert remote.last_error() == (1, "Success")


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([[99]], id="before"),
        pytest.param([[200]], id="behind"),
        pytest.param([[150, 149, 151]], id="no order"),
        pytest.param([[150], [], [149]], id="no order between messages"),
    ],
)
def test_rows_that_do_not_fit_their_read_are_a_failed_read(answers: list[list[int]]) -> None:
    remote = terminal(*answers)

    assert read(remote) is None
    assert remote.last_error() == (0, "rows of a read are outside its period or in no order")
