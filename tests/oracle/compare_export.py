"""Compares an export with its source as multisets of 60-byte records. Uses NumPy and nothing of tickhub.

    python tests/oracle/compare_export.py EXPORT.npz SOURCE.npz|SOURCE.csv

Prints one JSON object: ticks on both sides, how many of the source are missing from the export, how many of the export
are not of the source. Exit code 1 if either is above zero.
"""

import datetime as dt
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

RECORD = np.dtype(
    "<i8,<f8,<f8,<f8,<u8,<i8,<u4,<f8",
)
NAMES = ("time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real")


def from_npz(path: Path) -> np.ndarray:
    """Return the array ``ticks`` of an archive, which must have the 60-byte layout."""
    ticks = np.load(path, allow_pickle=False)["ticks"]
    if ticks.dtype.itemsize != 60 or ticks.dtype.names != NAMES:
        sys.exit(f"{path}: dtype {ticks.dtype} is not the MT5 record")
    return ticks


def from_export_of_the_terminal(path: Path) -> np.ndarray:
    """Read a tab-separated tick export: an empty price is the previous row's."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = [name.strip("<>") for name in lines[0].split("\t")]
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # a wall clock without a zone, as in the file
    previous = {"BID": 0.0, "ASK": 0.0, "LAST": 0.0, "VOLUME": 0.0}
    rows = []
    for line in lines[1:]:
        fields = dict(zip(header, line.split("\t"), strict=False))
        moment = dt.datetime.strptime(f"{fields['DATE']} {fields['TIME']}", "%Y.%m.%d %H:%M:%S.%f")  # noqa: DTZ007
        time_msc = (moment - epoch) // dt.timedelta(milliseconds=1)
        given = 0
        for name, bit in (("BID", 2), ("ASK", 4), ("LAST", 8), ("VOLUME", 16)):
            if fields.get(name):
                previous[name] = float(fields[name])
                given |= bit
        flags = int(fields["FLAGS"]) if fields.get("FLAGS") else given
        volume = previous["VOLUME"]
        rows.append(
            (time_msc // 1000, previous["BID"], previous["ASK"], previous["LAST"], int(volume), time_msc, flags, volume)
        )
    return np.array(rows, dtype=np.dtype(list(zip(NAMES, (RECORD[i] for i in range(8)), strict=True))))


def load(path: Path) -> np.ndarray:
    """Read either form."""
    return from_npz(path) if path.suffix == ".npz" else from_export_of_the_terminal(path)


def in_order(ticks: np.ndarray) -> np.ndarray:
    """Return the records as rows of eight numbers (60 bytes and four of padding), sorted."""
    padded = np.zeros((len(ticks), 64), dtype=np.uint8)
    padded[:, :60] = np.ascontiguousarray(ticks).view(np.uint8).reshape(len(ticks), 60)
    rows = padded.view(np.uint64)
    return rows[np.lexsort(rows.T)]


def compare(exported: np.ndarray, source: np.ndarray) -> tuple[int, int]:
    """Return how many records of the source are missing, and how many of the export are not of the source."""
    if len(exported) == len(source) and np.array_equal(in_order(exported), in_order(source)):
        return 0, 0
    left = Counter(np.ascontiguousarray(exported).view("V60").tolist())
    right = Counter(np.ascontiguousarray(source).view("V60").tolist())
    return sum((right - left).values()), sum((left - right).values())


def main() -> int:
    """Compare the two files named on the command line."""
    exported, source = (load(Path(name)) for name in sys.argv[1:3])
    missing, foreign = compare(exported, source)
    print(  # noqa: T201  # a script's answer
        json.dumps({"exported": len(exported), "source": len(source), "missing": missing, "not_of_source": foreign})
    )
    return 1 if missing or foreign else 0


if __name__ == "__main__":
    sys.exit(main())
