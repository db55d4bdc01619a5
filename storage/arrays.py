"""Gives rows to PostgreSQL as one array per column, in its binary format, without a loop per tick.

Format: ``array_send`` in PostgreSQL's src/backend/utils/adt/arrayfuncs.c: number of dimensions, whether there are
NULLs, the elements' type, for each dimension its size and lower bound (all int32), then for each element its length
(int32, -1 for NULL) and its bytes, big-endian.
"""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

from storage import packing
from storage.packing import Rows


class Int2s(bytes):
    """A packed array of int2."""


class Int4s(bytes):
    """A packed array of int4."""


class Int8s(bytes):
    """A packed array of int8."""


class Float8s(bytes):
    """A packed array of float8."""


# The class of a packed array and its elements' type by the column's form; oids of pg_type.dat.
_KINDS: dict[str, tuple[type[bytes], int]] = {
    ">i2": (Int2s, 21),
    ">i4": (Int4s, 23),
    ">i8": (Int8s, 20),
    ">f8": (Float8s, 701),
}
_ELEMENTS = {form: np.dtype([("length", ">i4"), ("value", form)]) for form in _KINDS}


class _Packed(Dumper):
    """Hands a packed array over as it is."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


def _register(kind: type[bytes], array_oid: int) -> None:
    adapters.register_dumper(kind, type(f"_{kind.__name__}", (_Packed,), {"oid": array_oid}))


for _kind, _oid in ((Int2s, 1005), (Int4s, 1007), (Int8s, 1016), (Float8s, 1022)):
    _register(_kind, _oid)


def columns(rows: Rows) -> list[bytes]:
    """Return rows as one packed array for each of :data:`storage.packing.COLUMNS`; NULL where no bit is set."""
    present = packing.present(rows)
    count = len(rows)
    return [_array(packing.column(rows, name), form, count, present.get(name)) for name, form in packing.COLUMNS]


def of_integers(values: npt.NDArray[np.integer[Any]]) -> bytes:
    """Return integers of two, four or eight bytes, shape (n,), as a packed array."""
    return _array(values, f">i{values.itemsize}", len(values), None)


def _array(
    values: "npt.NDArray[Any] | int",  # Any: of any number's type
    form: str,
    count: int,
    has_value: npt.NDArray[np.bool_] | None,
) -> bytes:
    elements = np.empty(count, dtype=_ELEMENTS[form])
    elements["length"] = int(form[-1])
    elements["value"] = values
    kind, oid = _KINDS[form]
    is_whole = has_value is None or bool(has_value.all())
    body = elements.tobytes() if has_value is None or is_whole else _without_nulls(elements, has_value)
    return kind(struct.pack(">iiiii", 1, int(not is_whole), oid, len(elements), 1) + body)


def _without_nulls(packed: npt.NDArray[np.void], has_value: npt.NDArray[np.bool_]) -> bytes:
    """Drop the bytes of NULLs, two at a time: every width is even."""
    packed["length"][~has_value] = -1
    keep = np.ones((len(packed), packed.itemsize // 2), dtype=bool)
    keep[:, 2:] = has_value[:, None]
    return packed.view(np.uint16).reshape(keep.shape)[keep].tobytes()
