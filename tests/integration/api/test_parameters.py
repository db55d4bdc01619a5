"""Whatever a parameter holds, the answer is one line that names it, and never a fault of the server."""

from urllib.parse import quote

import pytest
from django.test import Client

from tests.capturing import make_rig

pytestmark = pytest.mark.usefixtures("database")

ADDRESSES = (
    ("quality/gaps/", ("instrument", "start", "end", "parts")),
    ("quality/scores/", ("instrument", "start", "end")),
    ("quality/certificates/", ("instrument", "source", "start", "end", "after", "form")),
    ("ticks/latest/", ("instruments",)),
    ("ticks/locate/", ("feed", "time_msc", "seq")),
)
HUGE = "9" * 26
BAD = ("\x00", "a\x00b", "\ud800", "\n", "\u202e", "x" * 20_000, HUGE, f"-{HUGE}", "1" * 5_000, "9223372036854775807")
USUAL = {"instrument": "EURUSD", "feed": "1", "time_msc": "1772452800000", "seq": "0"}


@pytest.mark.parametrize(("address", "name"), [(address, name) for address, names in ADDRESSES for name in names])
def test_what_no_parameter_can_be_is_refused_and_named(address: str, name: str) -> None:
    make_rig("EURUSD")
    client = Client(raise_request_exception=False)
    for bad in BAD:
        values = {other: USUAL[other] for other in dict(ADDRESSES)[address] if other in USUAL} | {name: bad}
        query = "&".join(f"{key}={quote(value, errors='surrogatepass')}" for key, value in values.items())
        answer = client.get(f"/api/v1/{address}?{query}")
        assert answer.status_code < 500, (name, bad[:30], answer.content[:200])
        # Half of a surrogate pair comes as the character that stands for what cannot be read.
        if bad != "\ud800" and (not bad.isprintable() or len(bad) > 16_384):
            assert answer.status_code == 400
            assert answer.json()["detail"].startswith(f"{name}: ")
            assert len(answer.json()["detail"]) < 500


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("instrument=%00", r"instrument: '\x00' holds a character that cannot be printed"),
        ("instrument=EURUSD&instrument=GBPUSD", "instrument: given 2 times, expected once"),
        (f"instrument=EURUSD&end={HUGE}", f"end: time {HUGE} is in no year from 1 to 9999"),
        ("%01=1", r"'\x01': '\x01' holds a character that cannot be printed"),
    ],
)
def test_the_answer_says_what_is_wrong(query: str, detail: str) -> None:
    answer = Client().get(f"/api/v1/quality/scores/?{query}")

    assert (answer.status_code, answer.json()) == (400, {"detail": detail})
