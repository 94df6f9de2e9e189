"""What kafka-python makes of a compressed batch, and how much of it one poll brings."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import lz4.frame
import pytest
import zstandard
from kafka.codec import gzip_encode, snappy_encode
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from consumers import bounded
from consumers.bounded import TooLarge, inflated
from consumers.source import Unread

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PART = TopicPartition("t", 0)
MB = 1_000_000


def packed(codec: str, data: bytes) -> bytes:
    if codec == "gzip":
        return bytes(gzip_encode(data))
    if codec == "snappy":
        return bytes(snappy_encode(data))
    return lz4.frame.compress(data) if codec == "lz4" else zstandard.compress(data)


def batch(codec: str | None, values: Iterable[bytes], offset: int = 0) -> bytes:
    """One batch of a log, as a broker returns it."""
    made = MemoryRecordsBuilder(
        magic=2, compression_type=CODECS[codec] if codec else 0, batch_size=1 << 30
    )
    for value in values:
        made.append(timestamp=1_700_000_000_000, key=None, value=value)
    made.close()
    # A broker writes where it begins; its checksum leaves that out.
    return offset.to_bytes(8, "big") + bytes(made.buffer())[8:]


class Fetched:
    """A fetcher's two halves that are bound: what unpacks a partition, and what takes of it."""

    PartitionRecords = Fetcher.PartitionRecords

    def __init__(self, most: int = bounded.BATCH_BYTES) -> None:
        bounded.bind(self, most)

    def _append(self, drained: Any, part: Any, most: int, update_offsets: bool) -> int:
        found = part.take(most)
        drained[part.topic_partition].extend(found)
        return len(found)

    def of(self, log: bytes, fetch_offset: int = 0) -> Any:
        return self.PartitionRecords(fetch_offset, PART, MemoryRecords(log))


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_is_inflated_to_what_it_was(codec: str) -> None:
    data = bytes(range(256)) * 2_000
    assert bytes(inflated(codec, packed(codec, data), len(data))) == data
    assert inflated(codec, packed(codec, b""), 10) == b""


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_becomes_one_byte_too_many_is_refused(codec: str) -> None:
    with pytest.raises(TooLarge):
        inflated(codec, packed(codec, b"x" * 1_001), 1_000)


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_takes_no_more_memory_than_the_limit(codec: str) -> None:
    bomb, most = packed(codec, bytes(200 * MB)), 4 * MB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflated(codec, bomb, most)
        assert tracemalloc.get_traced_memory()[1] < 3 * most + 2 * len(bomb)
    finally:
        tracemalloc.stop()


def test_streams_that_follow_each_other_are_one() -> None:
    for codec in ("gzip", "lz4", "zstd"):
        twice = packed(codec, b"one") + packed(codec, b"two")
        assert bytes(inflated(codec, twice, 6)) == b"onetwo"
        with pytest.raises(TooLarge):
            inflated(codec, twice, 5)


@pytest.mark.parametrize("codec", ["gzip", "lz4"])
def test_a_stream_that_ends_early_is_an_error_of_its_codec(codec: str) -> None:
    with pytest.raises(Exception, match="ends early"):
        inflated(codec, packed(codec, bytes(range(256)) * 50)[:-40], MB)


@pytest.mark.parametrize("codec", CODECS)
def test_one_stands_for_the_records_of_a_bomb_and_its_neighbours_are_read(codec: str) -> None:
    """Wrong were: to hold it, to end there, and to pass it without a word."""
    log = (
        batch(None, [b"a", b"b"])
        + batch(codec, [bytes(MB)] * 8, offset=2)
        + batch(codec, [b"c"], offset=10)
    )
    part = Fetched(4 * MB).of(log)
    found = part.take(100)
    assert [record.offset for record in found] == [0, 1, 9, 10]
    unread = found[2]
    assert isinstance(unread, Unread)
    assert unread.n_records == 8
    assert unread.fault.reason == "oversized"
    assert f"a {codec} batch" in unread.fault.detail
    assert "offsets 2 to 9" in unread.fault.detail
    assert part.next_fetch_offset == 11


def test_who_begins_within_a_bomb_counts_only_what_is_left_of_it() -> None:
    found = Fetched(4 * MB).of(batch("gzip", [bytes(MB)] * 8, offset=2), fetch_offset=7).take(100)
    assert [(record.offset, record.n_records) for record in found] == [(9, 3)]


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_a_poll_ends_with_the_record_that_fills_it(
    codec: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches within the limit may be many: what is not taken now comes with the next poll."""
    monkeypatch.setattr(bounded, "POLL_BYTES", 3 * MB)
    fetcher = Fetched()
    log = b"".join(batch(codec, [bytes(MB)] * 2, offset) for offset in range(0, 10, 2))
    part = fetcher.of(log)
    offsets, polls = [], 0
    while part and polls < 20:
        drained: dict[Any, list[Any]] = defaultdict(list)
        n = fetcher._append(drained, part, 5_000, update_offsets=True)
        offsets += [record.offset for record in drained[PART]]
        polls += 1
        if not drained[PART]:
            break
        # An uncompressed batch is as large as what was fetched, and taken whole.
        assert len(drained[PART]) == (10 if codec is None else 3) or offsets[-1] == 9
        assert n == 5_000 or offsets[-1] == 9, "the poll ends"
    assert offsets == list(range(10))


def test_small_records_are_taken_as_many_as_were_asked_for() -> None:
    fetcher = Fetched()
    for codec in (None, "zstd"):
        part = fetcher.of(batch(codec, [b"x"] * 1_000))
        drained: dict[Any, list[Any]] = defaultdict(list)
        assert fetcher._append(drained, part, 400, update_offsets=True) == 400
        assert len(drained[PART]) == 400


def test_the_fetcher_that_is_bound_is_kafka_pythons() -> None:
    """Its inner parts, of which nobody promised that they stay."""
    assert hasattr(Fetcher, "_append")
    assert {"take", "_maybe_raise_next_inline_exception"} <= set(vars(Fetcher.PartitionRecords))
