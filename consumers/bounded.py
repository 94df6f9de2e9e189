"""How much kafka-python may make of what it fetched.

A fetch is bounded by bytes as they came. What a compressed batch becomes is not: a gzip of a
megabyte may hold a gigabyte, and a poll takes thousands of records, however large. So a batch is
inflated up to a limit, and where it goes on, nothing of it is kept: one `Unread` stands for its
records. A poll ends with the record that fills it. Only what was read by then is taken; the rest
is inflated, too, but stays where it is until the next poll.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import lz4.frame
import snappy
import zstandard
from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from consumers.source import Unread
from driftline.errors import DecodeError

# All that a Java producer holds at once (its buffer.memory), and so far above any batch of one.
BATCH_BYTES: Final = 32 << 20
# What one poll may bring beside its last record: as much as may be fetched at once.
POLL_BYTES: Final = 16_000_000

_CODECS: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_GZIP: Final = 16 + zlib.MAX_WBITS
# Within a batch: its length ends here, and here are its attributes, the codec among them.
_LENGTH_ENDS: Final = 12
_ATTRIBUTES: Final = 22
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = 16


class TooLarge(Exception):
    """It becomes more than it may."""


def batch_bytes(max_record_bytes: int) -> int:
    """Return what a batch may become where a record may have so many bytes.

    Examples
    --------
    >>> batch_bytes(1_000_000), batch_bytes(100_000_000)
    (33554432, 200000000)
    """
    return max(BATCH_BYTES, 2 * max_record_bytes)


def inflated(codec: str, data: bytes, most: int) -> bytearray:
    """Return what a batch's records are; no more than `most` bytes are ever held.

    Raises
    ------
    TooLarge
        They are more.
    Exception
        The codec's own, of what it cannot read.

    Examples
    --------
    >>> import gzip
    >>> bytes(inflated("gzip", gzip.compress(b"records"), 7))
    b'records'
    """
    found = bytearray()
    for piece in _PIECES[codec](data, most):
        if len(found) + len(piece) > most:
            raise TooLarge
        found += piece
    return found


def _of_gzip(data: bytes, most: int) -> Iterator[bytes]:
    while data:
        stream = zlib.decompressobj(_GZIP)
        piece = stream.decompress(data, most + 1)
        yield piece
        if not stream.eof:
            # Either it holds more than was asked for, or it ends too early.
            raise TooLarge if len(piece) > most else zlib.error("a gzip stream that ends early")
        data = stream.unused_data.lstrip(b"\0")


def _of_zstd(data: bytes, most: int) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor()
    with decompressor.stream_reader(data, read_across_frames=True) as reader:
        yield reader.read(most + 1)


def _of_lz4(data: bytes, most: int) -> Iterator[bytes]:
    while data:
        stream = lz4.frame.LZ4FrameDecompressor()
        piece = stream.decompress(data, max_length=most + 1)
        yield piece
        if not stream.eof:
            raise TooLarge if len(piece) > most else RuntimeError("an lz4 frame that ends early")
        data = stream.unused_data or b""


def _of_snappy(data: bytes, most: int) -> Iterator[bytes]:
    """Each block says how long it becomes, and a decoder makes that room at once."""
    if data.startswith(_XERIAL):
        at = _XERIAL_HEADER
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            block = data[at + 4 : at + 4 + size]
            at += 4 + size
            if _said(block) > most:
                raise TooLarge
            yield snappy.decompress(block)
        return
    if _said(data) > most:
        raise TooLarge
    yield snappy.decompress(data)


def _said(block: bytes) -> int:
    """The length that a block of snappy begins with: seven bits a byte, the lowest first."""
    length = 0
    for place, byte in enumerate(block[:5]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return length
    return length


_PIECES: Final = {"gzip": _of_gzip, "zstd": _of_zstd, "lz4": _of_lz4, "snappy": _of_snappy}


class _Refusal(list[tuple[str, bytes]]):
    """Headers of the record that stands for a batch: what `Unread` says of it."""

    def __init__(self, codec: str, first: int, size: int, most: int) -> None:
        super().__init__()
        self.codec, self.first, self.size, self.most = codec, first, size, most


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch of which only so much is inflated."""

    __slots__ = ()
    most = BATCH_BYTES

    def __iter__(self: Any) -> Any:
        if self._decompressed or self.compression_type not in _CODECS:
            return super().__iter__()
        codec, data = _CODECS[self.compression_type], bytes(memoryview(self._buffer)[self._pos :])
        try:
            self._buffer, self._pos = inflated(codec, data, self.most), 0
        except TooLarge:
            headers = _Refusal(codec, self.base_offset, self.size_in_bytes, self.most)
            kind, at = self.timestamp_type, self.max_timestamp
            size = self.size_in_bytes
            return iter([DefaultRecord(size, self.last_offset, at, kind, None, None, headers)])
        self._decompressed = True
        return self


class _Batches:
    """Fetched batches, each made one of which only so much is inflated."""

    def __init__(self, records: Any, kind: type[_Batch]) -> None:
        self._records, self._kind = records, kind

    def next_batch(self) -> Any:
        """The next one; None at the end."""
        batch = self._records.next_batch()
        if type(batch) is DefaultRecordBatch:
            batch.__class__ = self._kind
        return batch


def _is_compressed(fetched: Any) -> bool:
    """Whether any of the batches is; records that are not are as large as what was fetched."""
    at = 0
    while at + _ATTRIBUTES < len(fetched):
        if fetched[at + _ATTRIBUTES] & DefaultRecordBatch.CODEC_MASK:
            return True
        at += _LENGTH_ENDS + max(0, int.from_bytes(fetched[at + 8 : at + _LENGTH_ENDS], "big"))
    return False


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition, taken by bytes, too."""

    kind = _Batch

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **more: Any) -> None:
        super().__init__(fetch_offset, tp, _Batches(records, self.kind), **more)
        self._is_compressed = _is_compressed(records._buffer)

    def take(self, n: int | None = None) -> list[Any]:
        """Take up to so many records, and none after those that make `POLL_BYTES`."""
        if not self._is_compressed:
            return super().take(n)  # type: ignore[no-any-return]
        self._maybe_raise_next_inline_exception()
        found: list[Any] = []
        full = self.bytes_read + POLL_BYTES
        try:
            for record in islice(self.record_iterator, n):
                found.append(record if type(record.headers) is list else self._unread(record))
                if self.bytes_read >= full:
                    break
        except Exception as error:
            if not found:
                raise
            self._next_inline_exception = error
        return found

    def _unread(self, record: Any) -> Unread:
        said = record.headers
        first = max(said.first, self.fetch_offset)
        fault = DecodeError(
            "oversized",
            f"a {said.codec} batch of {said.size:,} bytes, offsets {first} to {record.offset}, "
            f"becomes over {said.most:,} bytes",
        )
        n = record.offset - first + 1
        return Unread(record.offset, record.timestamp, fault, n, said.size)


def bind(fetcher: Any, batch_bytes: int = BATCH_BYTES) -> None:
    """Bound what a consumer's fetcher makes of what it fetches."""
    batch = type("Batch", (_Batch,), {"__slots__": (), "most": batch_bytes})
    fetcher.PartitionRecords = type("PartitionRecords", (_PartitionRecords,), {"kind": batch})
    append = fetcher._append
    poll: list[Any] = [None, 0]  # what one poll brings, and its bytes so far

    def appended(drained: Any, part: Any, most: int, update_offsets: bool) -> int:
        before = part.bytes_read
        n: int = append(drained, part, most, update_offsets)
        if poll[0] is not drained:
            poll[:] = drained, 0
        poll[1] += part.bytes_read - before
        # As if as many were taken as were asked for: the poll ends.
        return most if n and poll[1] >= POLL_BYTES else n

    fetcher._append = appended
