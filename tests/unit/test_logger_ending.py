"""The logger where Python will start no thread: it says what it could not send, and never raises.

Python 3.12.0 and 3.12.1 refuse a new thread to exit handlers, and every Python does where the
machine has none left; here `Thread.start` refuses as they do.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import kafka
import pytest

from driftline import EventLogger
from driftline import logger as module
from driftline.buffer import Buffer
from driftline.errors import StreamError
from driftline.producer import InterpreterEnds, Producer
from driftline.sending import Sending

AT_MS = 1_707_387_300_000
ENDS = "can't create new thread at interpreter shutdown"
NONE_LEFT = "can't start new thread"
_start = threading.Thread.start


class Starts:
    """Counts the threads of the logger that were asked for, and refuses them."""

    def __init__(self, patch: pytest.MonkeyPatch, words: str) -> None:
        self.n = 0

        def refuse(thread: threading.Thread) -> None:
            if thread.name != "driftline-logger":
                return _start(thread)
            self.n += 1
            raise RuntimeError(words)

        patch.setattr(threading.Thread, "start", refuse)


@pytest.fixture
def logger() -> Iterator[EventLogger]:
    made = EventLogger("127.0.0.1:9", model="m", version=3, max_events=10)
    yield made
    made.close(0.0)


def test_at_the_interpreters_end_what_cannot_be_sent_is_counted_and_said(
    logger: EventLogger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Starts(monkeypatch, ENDS)
    assert logger.flush(0.0), "nothing was logged yet"
    assert not logger.log({"x": 1})
    assert not logger.log({"x": 2})
    assert not logger.log_label("a", 1)
    assert logger.log_frame({"x": [1], "t": [AT_MS]},
                            prediction="x", timestamp="t") == 0  # fmt: skip
    assert logger.flush(0.0), "nothing waits any more"
    assert not logger.close(0.0), "something was lost"
    counts = logger.counts()
    assert (counts.logged, counts.pending) == (4, 0)
    assert dict(counts.dropped) == {"delivery_failed": 1, "closed": 3}
    assert "1 event was not sent: this Python starts no thread while it ends" in caplog.text
    assert "call flush() or close(), before it does" in caplog.text


def test_a_frame_at_the_interpreters_end_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = EventLogger("127.0.0.1:9", model="m", version=3)
    Starts(monkeypatch, ENDS)
    n = 2_500
    frame = {"x": list(range(n)), "t": [AT_MS] * n}
    logger.log_frame(frame, prediction="x", timestamp="t")
    counts = logger.counts()
    assert counts.logged == n == sum(counts.dropped.values())
    assert set(counts.dropped) == {"delivery_failed", "closed"}


def test_where_no_thread_is_left_events_wait_and_it_is_tried_again_not_too_often(
    logger: EventLogger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts = Starts(monkeypatch, NONE_LEFT)
    assert [logger.log({"x": i}) for i in range(12)] == [True] * 10 + [False] * 2
    assert starts.n == 1
    assert "no thread to send with (can't start new thread): it is tried again" in caplog.text
    assert not logger.flush(0.0), "they wait"
    monkeypatch.setattr(module, "START_AGAIN_S", 0.0)
    logger._start_not_before = 0.0
    assert not logger.log({"x": 12})
    assert starts.n == 1, "a full queue takes nothing"
    monkeypatch.setattr(threading.Thread, "start", _start)
    assert not logger.flush(0.0)
    assert logger._thread is not None
    assert not logger.close(0.0)
    assert dict(logger.counts().dropped) == {"queue_full": 3, "delivery_failed": 10}


def test_a_handler_that_logs_while_the_thread_is_started_starts_no_second(
    logger: EventLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_starts = 0

    def interrupted(thread: threading.Thread) -> None:
        nonlocal n_starts
        if thread.name == "driftline-logger":
            n_starts += 1
            if n_starts < 5:
                assert logger.log({"signal": n_starts})
        _start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    assert logger.log({"x": 1})
    assert n_starts == 1
    assert logger.counts().pending == 2


def test_a_producer_that_gets_no_thread_says_which_of_both_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("driftline.producer._require_listener", lambda *_: None)
    for words, error in ((ENDS, InterpreterEnds), (NONE_LEFT, StreamError)):

        def refuse(words: str = words, **settings: Any) -> Any:
            raise RuntimeError(words)

        refuse.DEFAULT_CONFIG = kafka.KafkaProducer.DEFAULT_CONFIG  # type: ignore[attr-defined]
        monkeypatch.setattr(kafka, "KafkaProducer", refuse)
        with pytest.raises(StreamError) as caught:
            Producer(["127.0.0.1:9"], {})
        assert type(caught.value) is error


def test_who_waits_for_the_end_does_not_wait_for_a_producer_that_can_never_be() -> None:
    told: list[str] = []
    buffer = Buffer(10, 1_000_000)
    tries = 0

    def connect() -> Any:
        nonlocal tries
        tries += 1
        raise InterpreterEnds("no thread")

    loop = Sending(buffer, connect, "t", 0.0, lambda reason, words: told.append(words))
    buffer.put(b"{}")
    loop.run()  # returns, though nobody asked it to end
    assert (tries, told) == (1, ["no thread"])
    assert buffer.abandon("delivery_failed") == 1


@pytest.mark.parametrize(
    "first",
    ["import driftline.logger", "import threading", "assert 'threading' not in sys.modules"],
)
def test_what_an_exit_handler_logs_first_is_waited_for_and_said(first: str) -> None:
    """Where the logger's own exit handler has run already, or will never run."""
    code = f"""
import atexit, sys
def late():
    from driftline import EventLogger
    logger = EventLogger("127.0.0.1:9", model="m", version=3, exit_timeout_s=0.1)
    logger.log({{"x": 1}})
    print(logger.counts().pending, dict(logger.counts().dropped))
atexit.register(late)
{first}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "0 {'delivery_failed': 1}\n")
    assert "1 event was not sent" in done.stderr and "Traceback" not in done.stderr
