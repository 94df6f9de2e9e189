"""Columns as PostgreSQL's arrays, in its binary form.

The driver asks each value for its type and writes it by itself: for a hundred thousand numbers
that takes longer than the server takes to store them. Here numbers are written by one array
operation, and a text that comes often is encoded once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# By the kind of numpy's type: the server's number of its own type, its name, and the value's form.
_FIXED: Final = {"f": (701, "float8", ">f8"), "i": (20, "int8", ">i8"), "b": (16, "bool", "?")}
_TEXT: Final = (25, "text")
_HEAD: Final = struct.Struct(">iIIii")  # dimensions, whether any is null, type, length, lower bound
_SIZE: Final = struct.Struct(">i")
_NULL: Final = _SIZE.pack(-1)


def type_of(column: NDArray[Any]) -> str:
    """Return what the server calls the type of a column's values."""
    return _FIXED[column.dtype.kind][1] if column.dtype.kind in _FIXED else _TEXT[1]


def to_bytes(column: NDArray[Any], as_sent: Callable[[str], str]) -> bytes:
    """Return a column [n] as the server's array.

    Parameters
    ----------
    column
        float64, of which NaN is null; int64; bool; or objects, each a text or None.
    as_sent
        Returns a text as the server takes it.
    """
    kind = column.dtype.kind
    oid = _FIXED[kind][0] if kind in _FIXED else _TEXT[0]
    if not len(column):
        return _HEAD.pack(0, 0, oid, 0, 0)[:12]
    head = _HEAD.pack(1, 1, oid, len(column), 1)
    return head + (_fixed(column) if kind in _FIXED else _texts(column.tolist(), as_sent))


def _fixed(column: NDArray[Any]) -> bytes:
    """Each value behind its size; of a null the size alone, -1."""
    form = _FIXED[column.dtype.kind][2]
    made = np.empty(len(column), [("size", ">i4"), ("value", form)])
    made["size"] = np.dtype(form).itemsize
    made["value"] = column
    if column.dtype.kind != "f":
        return made.tobytes()
    is_null = np.isnan(column)
    made["size"][is_null] = -1
    sent = np.ones((len(made), made.itemsize), np.bool_)
    sent[is_null, _SIZE.size :] = False
    return made.view(np.uint8).reshape(sent.shape)[sent].tobytes()


def _texts(values: Sequence[str | None], as_sent: Callable[[str], str]) -> bytes:
    known: dict[str | None, bytes] = {None: _NULL}
    for text in set(values):
        if text is not None:
            encoded = as_sent(text).encode()
            known[text] = _SIZE.pack(len(encoded)) + encoded
    return b"".join([known[text] for text in values])
