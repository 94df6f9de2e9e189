"""Bytes to record batches that can be trusted: what an Arrow stream may be before it is looked at.

A record comes from anybody. Before pyarrow opens a stream its messages are measured, from their
headers alone: how many rows they claim, and how many bytes they become when they are decompressed.
What is opened is validated in full, so that no offset and no dictionary index points outside. An
extension type is refused before it is read, because reading it would run the extension's code,
and because what is admitted must not depend on what this process has imported.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.arrow import pyarrow
from driftline.errors import DecodeError

# A service's records hold 1,000 rows; NDJSON of a million bytes holds 15,000 at most.
MAX_ROWS: Final = 50_000
# What compression may make of a record. Numbers and words of events shrink to a third.
EXPANSION: Final = 16
# A category each, far above the rows.
MAX_WORDS: Final = 1 << 18
MAX_FIELDS: Final = 10_000
# What was found out about a schema is kept for so many, none of them longer than this.
KNOWN_SCHEMAS: Final = 256
KNOWN_BYTES: Final = 64_000

_CONTINUES: Final = b"\xff\xff\xff\xff"
_EXTENSION: Final = b"ARROW:extension:name"
_EXTENDED: Final = "an extension type: send its storage type"
# Kinds of messages: flatbuffers' union MessageHeader.
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3

# What pyarrow raises beside its own, by what it stumbles over.
_REFUSALS: Final = (ValueError, TypeError, LookupError, OverflowError, OSError)

_T = TypeVar("_T")

_U16, _I32, _U32, _I64 = Struct("<H"), Struct("<i"), Struct("<I"), Struct("<q")


class Stream(NamedTuple):
    """What a record holds.

    Attributes
    ----------
    batches
        Its record batches that have rows.
    schema
        The message that says what their columns are: who writes alike writes it alike.
    n_bytes
        What all of them hold, dictionaries included.
    """

    batches: list[Any]
    schema: bytes
    n_bytes: int


def read(value: bytes, max_bytes: int) -> Stream:
    """Return what a stream holds, validated.

    Raises
    ------
    DecodeError
        ``bad_arrow`` when it is no stream that can be read; ``oversized`` when it holds or
        becomes more than `MAX_ROWS` rows or `EXPANSION` times `max_bytes`; ``empty`` without
        rows.
    MissingExtra
        Without pyarrow.

    Examples
    --------
    >>> read(b"{}", 1_000)
    Traceback (most recent call last):
    driftline.errors.DecodeError: bad_arrow: it does not begin as an Arrow IPC stream
    """
    pa = pyarrow("reading Arrow records")
    if not value.startswith(_CONTINUES):
        raise DecodeError("bad_arrow", "it does not begin as an Arrow IPC stream")
    try:
        schema_ends, n_bytes = _measure(value, max_bytes * EXPANSION)
        schema = value[:schema_ends]
        options = pa.ipc.IpcReadOptions(use_threads=False)
        with pa.ipc.open_stream(pa.py_buffer(value), options=options) as reader:
            if schema not in _COUNTED:
                if _fields(pa, reader.schema) > MAX_FIELDS:
                    raise DecodeError("oversized", f"over {MAX_FIELDS} fields")
                remember(_COUNTED, schema, True)
            found = list(reader)
        for batch in found:
            batch.validate(full=True)
    except DecodeError:
        raise
    # struct's error and IndexError: a header that points outside of itself.
    except (pa.ArrowException, StructError, *_REFUSALS) as error:
        raise DecodeError("bad_arrow", _first_line(error)) from None
    found = [batch for batch in found if batch.num_rows]
    if not found:
        raise DecodeError("empty", "a stream without rows")
    return Stream(found, schema, n_bytes)


# Schemas whose fields were counted.
_COUNTED: Final[dict[bytes, bool]] = {}


def remember(known: dict[bytes, _T], schema: bytes, value: _T) -> None:
    """Note what is known of a schema, in so much memory as a few hundred usual ones take."""
    if len(schema) <= KNOWN_BYTES:
        if len(known) >= KNOWN_SCHEMAS:
            known.clear()
        known[schema] = value


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _fields(pa: Any, schema: Any) -> int:
    """How many fields a schema has, all levels together."""
    n = 0
    waiting = list(schema)
    while waiting and n <= MAX_FIELDS:
        found = waiting.pop()
        n += 1
        found.name.encode()  # a name that is no UTF-8 shows when it is asked for
        kind = found.type
        if pa.types.is_dictionary(kind):
            waiting.append(pa.field("", kind.value_type))
        else:
            waiting += [kind.field(i) for i in range(kind.num_fields)]
    return n


class _Table:
    """A table of a flatbuffer; whatever points outside of the bytes is an error of `struct`."""

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at
        self._slots = at - _I32.unpack_from(data, at)[0]
        if not 0 <= self._slots < len(data):
            raise ValueError("a header points outside of its message")
        self._n_slots = (_U16.unpack_from(data, self._slots)[0] - 4) // 2

    def place(self, slot: int) -> int:
        """Where a field stands; 0 when it has its default."""
        if slot >= self._n_slots:
            return 0
        offset: int = _U16.unpack_from(self.data, self._slots + 4 + 2 * slot)[0]
        return self.at + offset if offset else 0

    def integer(self, slot: int) -> int:
        """A field of 64 bits."""
        at = self.place(slot)
        return _I64.unpack_from(self.data, at)[0] if at else 0

    def table(self, slot: int) -> _Table | None:
        """A field that is a table."""
        at = self.place(slot)
        return _Table(self.data, at + _U32.unpack_from(self.data, at)[0]) if at else None

    def pairs(self, slot: int) -> NDArray[np.int64]:
        """A field that is a vector of pairs of 64 bits [pairs, 2]."""
        at = self.place(slot)
        if not at:
            return np.empty((0, 2), np.int64)
        at += _U32.unpack_from(self.data, at)[0]
        n = _U32.unpack_from(self.data, at)[0]
        return np.frombuffer(self.data, "<i8", 2 * n, at + 4).reshape(n, 2)


def _measure(value: bytes, max_decoded: int) -> tuple[int, int]:
    """Walk over the messages without decoding them; refuse what would become too much.

    Returns where the first of them ends, which is the schema, and how many bytes all become.
    """
    at = rows = words = decoded = schema_ends = 0
    while at < len(value):
        if not value.startswith(_CONTINUES, at):
            raise DecodeError("bad_arrow", f"no message at byte {at}")
        size = _I32.unpack_from(value, at + 4)[0]
        at += 8
        if size == 0:
            if at != len(value):
                raise DecodeError("bad_arrow", f"{len(value) - at} bytes after the stream's end")
            return schema_ends, decoded
        header = value[at : at + size]
        if size < 0 or len(header) != size:
            raise DecodeError("bad_arrow", "it ends within a message")
        begins = at + size
        said = _said(header)
        at = begins + said.n_body
        if said.n_body < 0 or at > len(value):
            raise DecodeError("bad_arrow", "it ends within a body")
        if not said.has_content or (said.kind == _SCHEMA) != (not schema_ends):
            raise DecodeError("bad_arrow", "its messages are in no order")
        schema_ends = schema_ends or at
        if said.kind == _SCHEMA and _EXTENSION in value[begins:at]:
            raise DecodeError("bad_arrow", _EXTENDED)
        if said.fault:
            raise DecodeError("bad_arrow", said.fault)
        if said.kind == _BATCH:
            rows += said.length
        elif said.kind == _DICTIONARY:
            words += said.length
        decoded += said.n_bytes
        if said.buffers:
            decoded += _decoded(said, memoryview(value)[begins:at])
        if rows > MAX_ROWS:
            raise DecodeError("oversized", f"{rows} rows, {MAX_ROWS} are allowed")
        if words > MAX_WORDS:
            raise DecodeError("oversized", f"{words} words, {MAX_WORDS} are allowed")
        if decoded > max_decoded:
            raise DecodeError("oversized", f"it becomes over {max_decoded} bytes")
    return schema_ends, decoded


class _Said(NamedTuple):
    """What the header of a message says.

    `buffers` are where those of its body lie that say themselves what they become, as (offset,
    length), and `n_bytes` is what all others hold; `fault` is why it cannot be read, if it cannot.
    """

    kind: int
    n_body: int
    has_content: bool
    length: int = 0
    n_bytes: int = 0
    buffers: tuple[tuple[int, int], ...] = ()
    fault: str = ""


# What headers say: who writes alike sends the same ones with every record. Those of batches are
# others where there are nulls, and must not make the rest be forgotten.
_HEADERS: Final[dict[bytes, _Said]] = {}
_HEADERS_OF_BATCHES: Final[dict[bytes, _Said]] = {}


def _said(header: bytes) -> _Said:
    """Read a header; what points outside of it is an error of `struct`, or of numpy's."""
    found = _HEADERS.get(header) or _HEADERS_OF_BATCHES.get(header)
    if found is None:
        found = _read_header(header)
        # Where a compressed one's buffers lie never comes again.
        if not found.buffers:
            known = _HEADERS_OF_BATCHES if found.kind == _BATCH else _HEADERS
            remember(known, header, found)
    return found


def _read_header(header: bytes) -> _Said:
    message = _Table(memoryview(header), _U32.unpack_from(header)[0])
    kind = header[message.place(1)] if message.place(1) else 0
    n_body = message.integer(3)
    content = message.table(2)
    if content is None:
        return _Said(kind, n_body, False)
    if kind == _SCHEMA:
        return _Said(kind, n_body, True, fault=_EXTENDED if _EXTENSION in header else "")
    if kind == _DICTIONARY:
        content = content.table(1)
        if content is None:
            return _Said(kind, n_body, True, fault="a dictionary without values")
    elif kind != _BATCH:
        return _Said(kind, n_body, True, fault=f"a message of kind {kind}")
    length = content.integer(0)
    if length < 0:
        return _Said(kind, n_body, True, fault=f"{length} rows")
    buffers = content.pairs(2)
    offsets, lengths = buffers[:, 0], buffers[:, 1]
    # Each alone first: the sum of two that are too large may look small.
    is_outside = (offsets < 0) | (offsets > n_body) | (lengths < 0) | (lengths > n_body - offsets)
    if is_outside.any():
        return _Said(kind, n_body, True, fault="a buffer outside of its body")
    if content.table(3) is None:
        return _Said(kind, n_body, True, length, int(lengths.sum()))
    compressed = tuple((offset, n) for offset, n in buffers.tolist() if n)
    return _Said(kind, n_body, True, length, buffers=compressed)


def _decoded(said: _Said, body: memoryview) -> int:
    """How many bytes those buffers of a batch become that say it themselves."""
    total = 0
    for offset, length in said.buffers:
        # Each says its size before it; -1 is a buffer that was left as it is.
        becomes: int = _I64.unpack_from(body, offset)[0]
        total += length if becomes < 0 else becomes
    return total
