"""Certificates written by hand: one hour of three ticks, of which two are stored and one is held."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HOUR_MSC = 1_772_452_800_000
NOTHING: list[int | str] = [0, "0" * 16, "0" * 16]
ONE: list[int | str] = [1, "0000000000000005", "ffffffffffffffff"]
TWO: list[int | str] = [2, "0000000000000007", "0000000000000002"]
# 5 + 7 = 12 = c; ff…ff + 2 = 1 modulo 2^64.
THREE: list[int | str] = [3, "000000000000000c", "0000000000000001"]


def body(**changes: Any) -> dict[str, Any]:  # Any: JSON
    """A whole certificate, with changes."""
    return {
        "format": "tickhub-certificate-1",
        "source": "broker",
        "symbol": "EURUSD",
        "instrument": "EURUSD",
        "feed": 1,
        "number": 1,
        "revision": 1,
        "replaces": None,
        "from_msc": HOUR_MSC,
        "to_msc": HOUR_MSC + 3_600_000,
        "made_msc": HOUR_MSC + 7_200_000,
        "watermark_msc": HOUR_MSC + 3_700_000,
        "clock": [{"offset_ms": 0, "from_msc": HOUR_MSC}],
        "is_proven": True,
        "previous": None,
        "stations": {
            "captured": THREE,
            "stored": TWO,
            "quarantined": ONE,
            "duplicates": NOTHING,
            "failed": NOTHING,
            "waiting": NOTHING,
            "table": TWO,
            "quarantine": ONE,
        },
        "flags": {},
        "reasons": [],
        "is_whole": True,
        **changes,
    }


def stations(**changes: list[int | str]) -> dict[str, list[int | str]]:
    """The stations of :func:`body`, with changes."""
    own: dict[str, list[int | str]] = body()["stations"]
    return own | changes
