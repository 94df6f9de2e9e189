"""`EventLogger`: a service's predictions and labels on their way to Kafka.

It runs inside somebody's serving path, so after it was made none of its methods raises, and `log`
never waits: an event is encoded, put into a bounded queue and sent by a thread of the logger's
own. What cannot be taken is dropped, counted by reason, and said once a minute.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time as clock
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from driftline.buffer import Buffer, Counts
from driftline.ending import ENDING, is_ending, is_late
from driftline.errors import ConfigError, DriftlineError
from driftline.lines import Line, Lines, Refused
from driftline.plain import shown
from driftline.producer import (
    Producer,
    Record,
    addresses,
    checked_options,
    checked_topic,
    first_line,
)
from driftline.sending import Orders, Sending
from driftline.telling import Teller

# A frame's rows wait this long for room while the broker takes none.
STALLED_S: Final = 5.0
# Between tries to start the thread, where the machine has none left to give.
START_AGAIN_S: Final = 1.0


class EventLogger:
    """Logs a model version's predictions and labels to Kafka, from any thread or event loop.

    Safe in a service: no method raises or, but for `flush`, `close` and a large `log_frame`,
    waits. Safe to fork (gunicorn with ``--preload``): a child begins with an empty queue, a
    thread and a connection of its own, and what the parent had queued is sent once, by the
    parent. What is queued is sent when the interpreter, or a child of multiprocessing, ends;
    after `os._exit`, or a signal that nobody handles, it is not. Python 3.12.0 and 3.12.1 start no
    thread while they end: there, a program that logs and ends at once must call `close` first. So
    must, on any Python, an exit handler that is the first to import `driftline`.

    Every record is acknowledged by all of Kafka's replicas. A record whose acknowledgement is
    lost may be sent twice, and is then counted twice.

    Parameters
    ----------
    bootstrap
        Kafka's brokers, ``HOST:PORT``, several separated by commas.
    model, version
        Names, 1 to 200 characters. The version 3 is "3".
    topic
        Where Driftline reads.
    kafka
        TLS, SASL and other settings of kafka-python's producer, such as
        ``{"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me", "sasl_plain_password": secret}``.
    timezone
        IANA zone in which times without an offset are read; the first one is said.
    linger_s
        How long an event waits for others to share its record.
    max_events, max_bytes
        What may be queued and on its way; above it events are dropped as ``queue_full``.
    exit_timeout_s
        How long the interpreter's end may wait for what is queued.

    Raises
    ------
    ConfigError
        An address that is none, a name that Driftline refuses, an unknown setting (names the
        nearest). That no broker answers is no error: events wait for it.

    Notes
    -----
    Of features, the prediction and tags: numpy's and pyarrow's scalars, Decimals, enums, times
    and durations become their values; NaN, NaT and NA are null, infinities the largest numbers.
    A value that JSON cannot hold is sent as null and counted in ``values_dropped``.

    Examples
    --------
    >>> logger = EventLogger("127.0.0.1:9092", model="churn", version="3")
    >>> logger.log({"age": 41, "plan": "pro"}, {"class": "stays", "score": 0.73}, time="yesterday")
    False
    >>> dict(logger.counts().dropped)
    {'bad_time': 1}
    >>> logger.close()
    True
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        *,
        model: str,
        version: str | int,
        topic: str = "driftline.events",
        kafka: Mapping[str, Any] | None = None,
        timezone: str = "UTC",
        linger_s: float = 0.5,
        max_events: int = 50_000,
        max_bytes: int = 64_000_000,
        exit_timeout_s: float = 5.0,
    ) -> None:
        self._brokers = addresses(bootstrap)
        self._topic = checked_topic(topic)
        self._options = checked_options(kafka)
        self._lines = Lines(model, version, timezone, self._tell_naive)
        self._linger_s = _within("linger_s", linger_s, 0.0, 60.0)
        self._max_events = int(_within("max_events", max_events, 1, 100_000_000))
        self._max_bytes = int(_within("max_bytes", max_bytes, 10_000, 100_000_000_000))
        self._exit_timeout_s = _within("exit_timeout_s", exit_timeout_s, 0.0, 3_600.0)
        self._is_closed = False
        self._begin()
        _ALIVE.add(self)

    def _begin(self) -> None:
        """What a process of its own begins with."""
        self._pid = os.getpid()
        self._buffer = Buffer(self._max_events, self._max_bytes)
        self._teller = Teller(lambda: self._buffer.counts().dropped)
        self._thread: threading.Thread | None = None
        self._sending: Sending | None = None
        self._starting = threading.RLock()
        self._is_starting = False
        self._start_not_before = 0.0
        # Started by an exit handler: nobody else waits, until this instant at most.
        self._late_until: float | None = None

    # -- logging -----------------------------------------------------------------------------

    def log(
        self,
        features: Any,
        prediction: Any = None,
        *,
        id: Any = None,
        time: Any = None,
        tags: Mapping[str, Any] | None = None,
    ) -> bool:
        """Queue a prediction and return whether it was taken; never waits, never raises.

        Parameters
        ----------
        features
            Values by name: a mapping, a dataclass, a row of a data frame. Copied.
        prediction
            A number, text or truth value, or ``{"value" | "class", "score"?, "scores"?}``.
        id
            What its label will be logged with.
        time
            When it was made: an aware datetime, RFC 3339 text or epoch milliseconds; a naive one
            is read in `timezone`. Now by default.
        tags
            Words about the event that are no features.
        """
        # Who waits for this has had other things in its processor's cache: the usual event passes
        # through as few functions as can be.
        try:
            line = None
            if not self._is_closed:
                line = self._lines.usual(features, prediction, id, time, tags)
            if line is not None:
                return self._put(line)
        except Exception as error:  # noqa: BLE001 - never into the serving path
            return self._refuse("internal_error", f"{type(error).__name__}: {first_line(error)}")
        return self._log(self._lines.prediction, features, prediction, id, time, tags)

    def log_label(self, id: Any, label: Any, *, time: Any = None) -> bool:
        """Queue what became of a prediction and return whether it was taken.

        Parameters
        ----------
        id
            What the prediction was logged with.
        label
            A number, text or truth value.
        time
            When it became known; as in `log`.
        """
        return self._log(self._lines.label, id, label, time)

    def log_frame(
        self,
        frame: Any,
        *,
        prediction: str,
        id: str | None = None,
        timestamp: str,
        score: str | None = None,
        scores: Mapping[str, str] | None = None,
        label: str | None = None,
        features: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        wait_s: float = STALLED_S,
    ) -> int:
        """Queue a data frame, a row an event, and return how many were taken; never raises.

        Columns stay columns where pyarrow is installed (``pip install 'driftline[arrow]'``). A
        frame larger than the queue waits for room, as long as the broker takes records; inside
        an event loop it never waits.

        Parameters
        ----------
        frame
            A pandas or polars DataFrame, or a pyarrow Table.
        prediction, id, timestamp, score
            Columns of what was predicted, the ids, the event times, and the scores.
        scores
            Class -> column with its score, where the model has several: ``{"late": "p_late"}``.
        label
            Column of the outcomes, where they are known: each is one event more. Needs `id`.
        features
            Columns of the features; all others by default.
        tags
            Columns of words about the events that are no features.
        wait_s
            How long to wait for room while the broker takes nothing; 0 never waits.
        """
        taken = left = 0
        try:
            if self._is_closed:
                self._refuse("closed", "log_frame after close", _rows(frame))
                return 0
            from driftline.frames import has_naive_times, records

            if has_naive_times(frame, timestamp):
                self._tell_naive()
            for record in records(
                frame, model=self._lines.model, version=self._lines.version,
                timezone=self._lines.timezone, prediction=prediction, id=id, timestamp=timestamp,
                score=score, scores=scores, label=label, features=features, tags=tags,
            ):  # fmt: skip
                # Where there was no room for one there is none for the next: it is only counted.
                if not left and self._put_waiting(record, wait_s):
                    taken += record.rows
                else:
                    left += record.rows
        except DriftlineError as error:
            self._refuse("bad_frame", first_line(error), _rows(frame) - taken - left)
        except Exception as error:  # noqa: BLE001 - never into the serving path
            words = f"{type(error).__name__}: {first_line(error)}"
            self._refuse("internal_error", words, _rows(frame) - taken - left)
        if left and self._is_closed:
            self._refuse("closed", "the logger was closed in the middle of a frame", left)
        elif left:
            self._refuse("queue_full", self._full(), left)
        return taken

    # -- ending ------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything logged so far is sent or dropped; False when time is over."""
        until = clock.monotonic() + timeout_s
        buffer, upto = self._buffer, self._buffer.accepted
        if self._pid != os.getpid():
            return True
        sending = self._started()
        if sending is None:
            return not buffer.counts().pending
        sending.orders.flush_upto = max(sending.orders.flush_upto, upto)
        buffer.ring()
        while not buffer.is_settled(upto):
            left_s = until - clock.monotonic()
            if left_s <= 0 or buffer.is_abandoned:
                return False
            # Looks again now and then: what was settled in between rang nobody.
            buffer.wait_for_progress(min(left_s, 0.1))
        return True

    def close(self, timeout_s: float = 10.0) -> bool:
        """Send what is queued and end the thread; what is left then is ``delivery_failed``.

        Returns whether nothing was left. A closed logger drops what is logged.
        """
        until = clock.monotonic() + timeout_s
        self._ask_to_end(until)
        return self._ended(until)

    def _ask_to_end(self, until: float) -> None:
        sending = self._started() if self._pid == os.getpid() else None
        self._is_closed = True
        if sending is not None:
            sending.orders.end_at = until
            self._buffer.ring()

    def _ended(self, until: float) -> bool:
        thread = self._thread
        if self._pid != os.getpid():
            return True
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, until - clock.monotonic()))
        left = self._buffer.abandon("delivery_failed")
        self._buffer.ring()
        if left:
            self._teller.tell(
                "delivery_failed", f"{_events(left)} not sent when the logger was closed"
            )
        _ALIVE.discard(self)
        return "delivery_failed" not in self._buffer.counts().dropped

    def counts(self) -> Counts:
        """Return what became of every event of this process until now."""
        if self._pid != os.getpid():
            self._after_fork()
        return self._buffer.counts()

    def __enter__(self) -> EventLogger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"EventLogger({','.join(self._brokers)!r}, model={self._lines.model!r}, "
            f"version={self._lines.version!r}, topic={self._topic!r})"
        )

    # -- the queue ---------------------------------------------------------------------------

    def _log(self, make: Callable[..., Line], *given: Any) -> bool:
        try:
            if self._is_closed:
                return self._refuse("closed", "an event was logged after close")
            line, nulled = make(*given)
            if not self._put(line):
                return False
            if nulled:
                self._buffer.drop_values(len(nulled))
                self._teller.tell("values", f"JSON cannot hold {shown(nulled)}: sent as null")
        except Refused as refused:
            return self._refuse(refused.reason, refused.words)
        except Exception as error:  # noqa: BLE001 - never into the serving path
            return self._refuse("internal_error", f"{type(error).__name__}: {first_line(error)}")
        return True

    def _tell_naive(self) -> None:
        self._teller.tell_naive(self._lines.timezone)

    def _put(self, item: bytes | Record) -> bool:
        if self._pid != os.getpid():
            self._after_fork()
        if not self._buffer.put(item):
            if self._is_closed:
                return self._refuse("closed", "an event was logged after close")
            return self._refuse("queue_full", self._full())
        if self._thread is None or self._late_until is not None:
            self._see_to_sending()
        return not self._buffer.is_abandoned

    def _put_waiting(self, record: Record, wait_s: float) -> bool:
        """Take a record when there is room, while the broker makes some."""
        if self._pid != os.getpid():
            self._after_fork()
        buffer = self._buffer
        if _in_event_loop():
            wait_s = 0.0
        until = clock.monotonic() + wait_s
        settled = -1
        while not buffer.put(record):
            counts = buffer.counts()
            if counts.logged - counts.pending != settled:
                settled = counts.logged - counts.pending
                until = clock.monotonic() + wait_s
            if clock.monotonic() >= until or self._is_closed:
                return False
            self._started()
            buffer.wait_for_progress(min(0.1, wait_s))
        if self._thread is None or self._late_until is not None:
            self._see_to_sending()
        return True

    def _see_to_sending(self) -> None:
        """See that somebody sends what was put; the buffer is abandoned where nobody can."""
        try:
            self._started()
            late_s = None if self._late_until is None else self._late_until - clock.monotonic()
            if late_s is not None and not self.flush(late_s):
                self._is_closed = True
                self._ended(clock.monotonic())
        except Exception as error:  # noqa: BLE001 - it is in the queue, and counted there
            self._teller.tell("internal_error", f"{type(error).__name__}: {first_line(error)}")

    def _started(self) -> Sending | None:
        """Return what sends, begun now where it was not; None where no thread can be had."""
        if self._thread is None and not self._is_closed and self._buffer.accepted:
            self._start()
        return self._sending

    def _start(self) -> None:
        with self._starting:
            # A signal's handler may log while its own thread is right here.
            is_due = clock.monotonic() >= self._start_not_before
            if self._thread is not None or self._is_starting or not is_due:
                return
            self._is_starting = True
            try:
                sending = Sending(
                    self._buffer, self._connect, self._topic, self._linger_s,
                    self._teller.tell, Orders(),
                )  # fmt: skip
                thread = threading.Thread(target=sending.run, name="driftline-logger", daemon=True)
                thread.start()
            except (RuntimeError, MemoryError) as error:
                self._cannot_start(error)
                return
            finally:
                self._is_starting = False
            self._sending, self._thread = sending, thread
            main = threading.main_thread()
            if threading.current_thread() is main and (_IS_LATE or not main.is_alive()):
                self._late_until = clock.monotonic() + self._exit_timeout_s
            # A child of multiprocessing ends without the interpreter's own end.
            family = sys.modules.get("multiprocessing")
            if family is not None and family.parent_process() is not None:
                from multiprocessing.util import Finalize

                Finalize(self, _at_exit, exitpriority=100)

    def _cannot_start(self, error: Exception) -> None:
        if not is_ending(error):
            self._start_not_before = clock.monotonic() + START_AGAIN_S
            self._teller.tell(
                "thread", f"no thread to send with ({first_line(error)}): it is tried again"
            )
            return
        self._is_closed = True
        left = self._buffer.abandon("delivery_failed")
        _ALIVE.discard(self)
        self._teller.tell(
            "delivery_failed",
            f"{_events(left)} not sent: {ENDING}",
        )

    def _connect(self) -> Producer:
        made = Producer(self._brokers, self._options)
        # What was registered last runs first: the queue is sent before kafka-python closes.
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)
        return made

    def _after_fork(self) -> None:
        """In a child process: the queue, the thread and the connection are the parent's."""
        if self._pid == os.getpid():
            return
        sending = self._sending
        if sending is not None and sending.producer is not None:
            sending.producer.forget()
        self._begin()

    # -- saying what is wrong ----------------------------------------------------------------

    def _refuse(self, reason: str, words: str, rows: int = 1) -> bool:
        with suppress(Exception):
            if self._pid != os.getpid():
                self._after_fork()
            self._buffer.drop(reason, max(1, rows))
            self._teller.tell(reason, words)
        return False

    def _full(self) -> str:
        pending = self._buffer.counts().pending
        return f"{pending:,} events wait for the broker at {','.join(self._brokers)}"


def _within(what: str, value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ConfigError(what, "argument", value, f"a number from {low:g} to {high:g}")
    return float(value)


def _events(n: int) -> str:
    return "1 event was" if n == 1 else f"{n:,} events were"


def _rows(frame: Any) -> int:
    try:
        return len(next(iter(frame.values()))) if isinstance(frame, Mapping) else len(frame)
    except Exception:  # noqa: BLE001 - it is no frame
        return 1


def _in_event_loop() -> bool:
    # Who has not imported it runs no loop.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_IS_LATE: Final = is_late(__name__)
# Of this process: what is sent when it ends, and begun anew where it forks.
_ALIVE: Final[weakref.WeakSet[EventLogger]] = weakref.WeakSet()


def _at_exit() -> None:
    """Send what is queued, all loggers at once."""
    loggers = [found for found in _ALIVE if found._pid == os.getpid()]
    until = [(found, clock.monotonic() + found._exit_timeout_s) for found in loggers]
    for found, end_at in until:
        found._is_closed = True
        found._ask_to_end(end_at)
    for found, end_at in until:
        found._ended(end_at)


def _in_child() -> None:
    for found in list(_ALIVE):
        found._after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
