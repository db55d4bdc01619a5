"""An agent's terminal: rows that do not fit their read are a failed read, never ticks."""

import threading
from collections.abc import Callable, Sequence

import pytest

from ingest.bridge.link import Link
from ingest.bridge.remote import RemoteTerminal
from ingest.wire.messages import Digests, FromBridge, ReadRequest, Rows
from tests.builders import NOON_MSC, make_ticks
from tickhub.core import digest


def terminal(*answers: Sequence[int]) -> RemoteTerminal:
    """A terminal whose agent answers each read with these rows, milliseconds after noon, message by message."""

    def answer(request: FromBridge) -> None:
        assert isinstance(request, ReadRequest)
        for number, times in enumerate(answers, start=1):
            ticks = make_ticks([(after_ms, 1.1, 1.2) for after_ms in times])
            link.put_answer(Rows(request.request, ticks, has_more=number < len(answers)))

    link = Link(transmit=answer, answer_s=0.2)
    return RemoteTerminal(link, ["EURUSD"], is_replay=False)


def read(remote: RemoteTerminal) -> list[int] | None:
    found = remote.read("EURUSD", NOON_MSC + 100, NOON_MSC + 200)
    return None if found is None else (found["time_msc"] - NOON_MSC).tolist()


def test_rows_of_several_messages_are_joined() -> None:
    remote = terminal([100, 100, 150], [150, 199], [])

    assert read(remote) == [100, 100, 150, 150, 199]
    assert remote.last_error() == (1, "Success")


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([[99]], id="before"),
        pytest.param([[200]], id="behind"),
        pytest.param([[150, 149, 151]], id="no order"),
        pytest.param([[150], [149]], id="no order between messages"),
    ],
)
def test_rows_that_do_not_fit_their_read_are_a_failed_read(answers: list[list[int]]) -> None:
    remote = terminal(*answers)

    assert read(remote) is None
    assert remote.last_error() == (0, "rows of a read are outside its period or in no order")


def test_more_rows_that_are_told_and_not_given_are_a_failed_read() -> None:
    remote = terminal([100], [], [150])

    assert read(remote) is None
    assert remote.last_error() == (0, "more rows of a read were told, and none given")


def answering(answer: Callable[[Link, ReadRequest], object], *, is_replay: bool = False) -> RemoteTerminal:
    """A terminal whose agent answers in its own way; its time has been told as noon."""

    def transmit(request: FromBridge) -> None:
        assert isinstance(request, ReadRequest)
        answer(link, request)

    link = Link(transmit=transmit, answer_s=0.2)
    link.note_time(NOON_MSC)
    return RemoteTerminal(link, ["EURUSD"], is_replay=is_replay)


@pytest.mark.parametrize(
    ("ahead_ms", "is_replay", "is_read"), [(4_000, False, True), (60_000, False, False), (60_000, True, True)]
)
def test_rows_that_were_read_later_than_the_terminals_time_is_by_now_are_a_failed_read(
    ahead_ms: int, is_replay: bool, is_read: bool
) -> None:
    ticks = make_ticks([(100, 1.1, 1.2)])

    def answer(link: Link, request: ReadRequest) -> None:
        link.put_answer(Rows(request.request, ticks, has_more=False, now_msc=NOON_MSC + ahead_ms))

    remote = answering(answer, is_replay=is_replay)

    assert read(remote) == ([100] if is_read else None)
    assert remote.read_msc == (NOON_MSC + ahead_ms if is_read else 0)


def test_digests_do_not_answer_a_read() -> None:
    remote = answering(lambda link, request: link.put_answer(Digests(request.request, (digest.ZERO,))))

    assert read(remote) is None
    assert remote.last_error() == (0, "an answer of another kind")


def test_an_agent_that_answers_one_row_at_a_time_does_not_hold_its_session_for_ever() -> None:
    stop = threading.Event()

    def answer(link: Link, request: ReadRequest) -> None:
        def trickle() -> None:
            while not stop.wait(0.02):
                link.put_answer(Rows(request.request, make_ticks([(100, 1.1, 1.2)]), has_more=True))

        threading.Thread(target=trickle, daemon=True).start()

    remote = answering(answer)

    assert read(remote) is None
    stop.set()
    assert remote.last_error() == (0, "no answer from the agent in time")


def test_the_lease_is_looked_after_while_an_answer_is_waited_for() -> None:
    heard: list[int] = []
    link = Link(transmit=lambda _: None, answer_s=1.2)
    link.while_waiting = lambda: heard.append(1)

    assert RemoteTerminal(link, ["EURUSD"], is_replay=False).read("EURUSD", NOON_MSC, NOON_MSC + 1) is None
    assert heard == [1]
