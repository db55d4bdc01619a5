"""One symbol that an agent's terminal cannot read does not keep the others from being compared."""

from collections import Counter

import pytest

from tests.integration.bridge.conftest import NOON_MSC, Desk
from tests.integration.bridge.test_client_of_the_document import captured, tick
from tests.wire_client import Json, Terminal, WireClient

MINUTE_MS = 60_000


class HalfBlindClient(WireClient):
    """Cannot read the second symbol's past, once it is told so."""

    is_blind = False

    def _digest(self, period: list[int], shift_ms: int) -> list[int | str] | Json:
        if self.is_blind and period[0] == 1 and period[1] < NOON_MSC + 20 * MINUTE_MS:
            return {"error": [-4, "Not found"]}
        return super()._digest(period, shift_ms)


@pytest.mark.parametrize("is_blind", [False, True])
def test_late_ticks_of_other_symbols_are_captured(desk: Desk, is_blind: bool) -> None:
    terminal = Terminal(["EURUSD", "GOLD"])
    terminal.now_msc = NOON_MSC
    client = HalfBlindClient(desk.bridge.url, desk.token, terminal, uses_binary=False)
    desk.clients.append(client)
    client.hello(begins_msc=NOON_MSC)
    for index in (0, 1):
        terminal.insert(index, [tick(minute * MINUTE_MS) for minute in range(42)])
    terminal.now_msc = NOON_MSC + 42 * MINUTE_MS
    client.poll()
    client.serve(lambda: len(client.answers) == 1)
    client.is_blind = is_blind
    terminal.insert(0, [tick(25 * MINUTE_MS + 5, 1.7)])

    client.finish()

    assert captured(desk, "EURUSD") == Counter(terminal.ticks[0])
