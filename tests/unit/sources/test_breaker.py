"""The breaker's pauses, by hand: 0.25 s doubled up to 5 s while closed, 15 s to 120 s while open."""

from ingest.sources.breaker import Breaker, Circuit


class Watch:
    """Seconds, set by the test."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def longest(_: float, most: float) -> float:
    return most


def test_pauses_double_and_jump_when_the_circuit_opens() -> None:
    breaker = Breaker(now_s=Watch(), jitter=longest)

    pauses = []
    for _ in range(13):
        breaker.failed()
        pauses.append(breaker.remaining_s())

    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 15.0, 30.0, 60.0, 120.0, 120.0, 120.0]


def test_jitter_may_shorten_a_closed_pause_to_nothing_and_an_open_one_to_half() -> None:
    breaker = Breaker(now_s=Watch(), jitter=lambda least, _: least)

    breaker.failed()
    closed_s = breaker.remaining_s()
    for _ in range(7):
        breaker.failed()

    assert (closed_s, breaker.remaining_s()) == (0.0, 7.5)


def test_states_follow_failures_time_and_success() -> None:
    watch = Watch()
    breaker = Breaker(now_s=watch, jitter=longest)
    seen = [breaker.circuit]

    for _ in range(8):
        breaker.failed()
    seen.append(breaker.circuit)
    watch.now_s = 15.0
    seen.append(breaker.circuit)
    breaker.failed()
    seen.append(breaker.circuit)
    breaker.succeeded()
    seen.append(breaker.circuit)

    assert seen == [Circuit.CLOSED, Circuit.OPEN, Circuit.HALF_OPEN, Circuit.OPEN, Circuit.CLOSED]
