"""Compares exports with the recordings they were captured from, as multisets of 60-byte records.

    python tickhub/bench/torture/comparing.py EXPORTS RECORDINGS

Both are folders of ``SYMBOL.npz`` with an array ``ticks``. It uses NumPy and nothing of tickhub, so that no mistake of
the product can hide itself. Prints one JSON object: for each symbol the ticks on both sides, how many of the recording
are missing from the export, and how many of the export are beyond the recording. Exit code 1 if any number of these is
above zero.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

_RECORD_BYTES = 60


def records(path: Path) -> "Counter[bytes]":
    """Return the records of a file with how often each occurs; an absent file has none."""
    if not path.exists():
        return Counter()
    ticks = np.load(path, allow_pickle=False)["ticks"]
    if ticks.dtype.itemsize != _RECORD_BYTES:
        sys.exit(f"{path}: records of {ticks.dtype.itemsize} bytes, expected {_RECORD_BYTES}")
    data = np.ascontiguousarray(ticks).tobytes()
    return Counter(data[start : start + _RECORD_BYTES] for start in range(0, len(data), _RECORD_BYTES))


def compare(exported: "Counter[bytes]", recorded: "Counter[bytes]") -> dict[str, int]:
    """Return the counts of both sides and of what differs."""
    return {
        "exported": exported.total(),
        "recorded": recorded.total(),
        "missing": (recorded - exported).total(),
        "beyond": (exported - recorded).total(),
    }


def main() -> int:
    """Compare the two folders named on the command line."""
    exports, recordings = (Path(name) for name in sys.argv[1:3])
    names = sorted({path.name for folder in (exports, recordings) for path in folder.glob("*.npz")})
    found = {name.removesuffix(".npz"): compare(records(exports / name), records(recordings / name)) for name in names}
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if any(counts["missing"] or counts["beyond"] for counts in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
