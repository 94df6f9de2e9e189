"""The thread behind the logger when something fails in it: every record stays counted once."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from driftline import sending
from driftline.buffer import Buffer
from driftline.producer import MAX_RECORD_ROWS, Record
from driftline.sending import MAX_SPLITS, Sending, halved


class MessageSizeTooLargeError(Exception):
    """By its name the broker's own."""


class Answer:
    """A future that was answered already."""

    is_done = True

    def __init__(self, exception: BaseException | None) -> None:
        self.exception = exception

    def add_both(self, call: Any) -> None:
        call(None)


class Broker:
    """Takes records up to a size; `connect` gives it as a producer."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.taken: list[bytes] = []
        self.tries = 0

    def send(self, topic: str, record: Record) -> Answer:
        self.tries += 1
        if len(record.value) > self.most_bytes:
            return Answer(MessageSizeTooLargeError("too large"))
        self.taken += record.value.split(b"\n")
        return Answer(None)

    def close(self, timeout_s: float) -> None:
        pass


class World:
    """A loop with its buffer, run until it has nothing left to do."""

    def __init__(self, broker: Broker, *, linger_s: float = 0.0) -> None:
        self.broker, self.buffer = broker, Buffer(10_000, 10_000_000)
        self.told: list[tuple[str, str]] = []
        self.loop = Sending(
            self.buffer, lambda: broker, "t", linger_s,  # type: ignore[arg-type, return-value]
            lambda reason, words: self.told.append((reason, words)),
        )  # fmt: skip

    def run(self) -> None:
        """Step as the thread does, without its waits."""
        for _ in range(1_000):
            try:
                self.loop._step()
            except Exception as error:
                self.told.append(("internal_error", str(error)))
            if self.buffer.oldest_at() is None and not self.loop._unsettled():
                return
        raise AssertionError("records are left that nobody settles")

    @property
    def outcome(self) -> tuple[int, int, dict[str, int]]:
        counts = self.buffer.counts()
        assert counts.logged == counts.sent + counts.pending + sum(counts.dropped.values())
        return counts.sent, counts.pending, dict(counts.dropped)


def ndjson(first: int, n: int) -> Record:
    lines = [b"%d" % i for i in range(first, first + n)]
    return Record(b"\n".join(lines), n)


def test_a_record_that_cannot_be_halved_at_once_is_halved_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Broker(most_bytes=12))
    failures = iter([MemoryError("no room"), MemoryError("no room")])

    def sometimes(record: Record) -> list[Record]:
        for error in failures:
            raise error
        return halved(record)

    monkeypatch.setattr(sending, "halved", sometimes)
    world.buffer.put(ndjson(100, 4))
    world.buffer.put(ndjson(200, 1))
    world.run()
    assert world.outcome == (5, 0, {})
    assert world.broker.taken == [b"100", b"101", b"102", b"103", b"200"], "in order, each once"
    assert [words for reason, words in world.told if reason == "internal_error"] == ["no room"] * 2
    assert world.buffer.held_bytes == 0


def test_a_record_that_can_never_be_halved_is_dropped_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Broker(most_bytes=12))

    def never(record: Record) -> list[Record]:
        raise ValueError("no Arrow stream")

    monkeypatch.setattr(sending, "halved", never)
    world.buffer.put(ndjson(100, 4))
    world.buffer.put(ndjson(200, 2))
    world.run()
    assert world.outcome == (2, 0, {"internal_error": 4})
    assert world.broker.tries == MAX_SPLITS + 1, "each time alone, and then the other"
    assert "cannot be halved: no Arrow stream" in world.told[-1][1]
    assert world.buffer.is_settled(6) and world.buffer.held_bytes == 0


def test_a_producer_that_cannot_be_closed_takes_no_record_with_it() -> None:
    broker = Broker(most_bytes=12)
    closes = 0

    def close(timeout_s: float) -> None:
        nonlocal closes
        closes += 1
        raise AttributeError("_sender")

    broker.close = close  # type: ignore[method-assign]
    world = World(broker)
    world.buffer.put(ndjson(100, 4))
    world.run()
    assert closes
    assert world.outcome == (4, 0, {})


def test_lines_of_which_no_batch_can_be_made_are_sent_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(lines: Any, *, is_hurried: bool = False) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(sending, "records_of", never)
    world = World(Broker(most_bytes=12))
    for i in range(MAX_RECORD_ROWS):
        world.buffer.put(b"%d" % i)
    world.run()
    assert world.outcome == (MAX_RECORD_ROWS, 0, {})
    assert world.broker.taken == [b"%d" % i for i in range(MAX_RECORD_ROWS)]
    assert world.buffer.held_bytes == 0


def test_an_answer_that_cannot_be_read_settles_no_other_twice() -> None:
    class Odd(Answer):
        reads = 0

        @property
        def exception(self) -> BaseException | None:
            Odd.reads += 1
            if Odd.reads == 1:
                raise RuntimeError("not now")
            return None

        @exception.setter
        def exception(self, value: BaseException | None) -> None:
            pass

    world = World(Broker(most_bytes=100))
    answers = [Answer(None), Odd(None), Answer(None)]
    for i, answer in enumerate(answers):
        world.buffer.put(ndjson(i, 1))
        assert world.loop._next() is not None
        flight = world.loop._again.popleft()
        flight.future = answer
        world.loop._air.append(flight)
    world.run()
    assert world.outcome == (3, 0, {})


def test_what_replaces_the_queue_s_class_before_the_first_event_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As gevent does in a worker that was forked from an application already loaded."""
    rung: list[str] = []

    class Green(queue.SimpleQueue[None]):
        def put(self, *_: Any, **__: Any) -> None:
            rung.append("put")
            super().put(None)

        def get(self, *args: Any, **named: Any) -> None:
            rung.append("get")
            super().get(*args, **named)

    buffer = Buffer(10, 1_000_000)
    monkeypatch.setattr(queue, "SimpleQueue", Green)
    assert buffer.put(b"{}")
    buffer.wait(5.0)
    assert rung == ["put", "get"]
