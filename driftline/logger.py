"""`EventLogger`: a service's predictions and labels on their way to Kafka.

It runs inside somebody's serving path, so after it was made none of its methods raises, and `log`
never waits: an event is encoded, put into a bounded queue and sent by a thread of the logger's
own. What cannot be taken is dropped, counted by reason, and said once a minute.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time as clock
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, tzinfo
from types import MappingProxyType, TracebackType
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from driftline.buffer import Buffer, Counts
from driftline.errors import ConfigError, DriftlineError
from driftline.events import MAX_NAME, MAX_TIME_MS, MIN_TIME_MS, Event
from driftline.plain import (
    NotPlain,
    as_mapping,
    instant_ms,
    is_plain,
    plain,
    plain_values,
    shown,
)
from driftline.producer import (
    MAX_RECORD_BYTES,
    Producer,
    Record,
    addresses,
    checked_options,
    checked_topic,
    first_line,
)
from driftline.sending import Orders, Sending

log = logging.getLogger("driftline.logger")

# Why events were dropped; docs list them in this order.
DROPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "queue_full": "more was logged than the broker took",
        "too_large": "larger than a record may be",
        "not_serializable": "its features are no mapping, or JSON holds none of it",
        "bad_time": "no instant in the years 2000 to 2099",
        "id_missing": "a label without an id",
        "bad_frame": "a frame that cannot be read, or lacks a column",
        "refused": "the broker refuses it for what it is",
        "delivery_failed": "not acknowledged when the logger was closed",
        "closed": "logged after the logger was closed",
        "internal_error": "a fault of Driftline's own: please report it",
    }
)
# One line about each kind of trouble in this time.
TELL_EVERY_S: Final = 60.0
# A frame's rows wait this long for room while the broker takes none.
STALLED_S: Final = 5.0

_encode: Final = msgspec.json.Encoder().encode
_SCALARS: Final = (str, float, int, bool, type(None))


class EventLogger:
    """Logs a model version's predictions and labels to Kafka, from any thread or event loop.

    Safe in a service: no method raises or, but for `flush`, `close` and a large `log_frame`,
    waits. Safe to fork (gunicorn with ``--preload``): a child begins with an empty queue, a
    thread and a connection of its own, and what the parent had queued is sent once, by the
    parent. What is queued is sent when the interpreter, or a child of multiprocessing, ends;
    after `os._exit`, or a signal that nobody handles, it is not.

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
        self._model = _name("model", model)
        self._version = _name("version", str(version) if type(version) is int else version)
        self._timezone, self._zone = timezone, _zone(timezone)
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
        self._thread: threading.Thread | None = None
        self._sending: Sending | None = None
        self._starting = threading.RLock()
        self._told_at: dict[str, float] = {}

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
        try:
            said = UNSET if prediction is None else self._value("prediction", prediction)
            given = as_mapping(features)
            if given is None:
                return self._refuse(
                    "not_serializable",
                    f"features are a {type(features).__name__}: give them by name, in a mapping",
                )
            return self._log(
                "prediction", time, id, self._version,
                features=self._values(given), prediction=said,
                tags=None if tags is None else self._values(tags),
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - never into the serving path
            return self._refuse("internal_error", f"{type(error).__name__}: {first_line(error)}")

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
        try:
            return self._log("label", time, id, "", label=self._value("label", label))
        except Exception as error:  # noqa: BLE001 - never into the serving path
            return self._refuse("internal_error", f"{type(error).__name__}: {first_line(error)}")

    def log_frame(
        self,
        frame: Any,
        *,
        prediction: str,
        id: str | None = None,
        timestamp: str,
        score: str | None = None,
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
                self._refuse("closed", "log_frame after close", len(frame))
                return 0
            from driftline.frames import has_naive_times, records

            if has_naive_times(frame, timestamp):
                self._tell_naive()
            for record in records(
                frame, model=self._model, version=self._version, prediction=prediction, id=id,
                timestamp=timestamp, score=score, label=label, features=features, tags=tags,
                timezone=self._timezone,
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
        if left:
            self._refuse("queue_full", self._full(), left)
        return taken

    # -- ending ------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything logged so far is sent or dropped; False when time is over."""
        until = clock.monotonic() + timeout_s
        buffer, sending = self._buffer, self._sending
        upto = buffer.accepted
        if sending is None or self._pid != os.getpid():
            return True
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
        self._is_closed = True
        until = clock.monotonic() + timeout_s
        self._ask_to_end(until)
        return self._ended(until)

    def _ask_to_end(self, until: float) -> None:
        with self._starting:
            sending = self._sending
        if sending is not None and self._pid == os.getpid():
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
            self._tell(
                "delivery_failed", f"{left:,} events were not sent when the logger was closed"
            )
        _ALIVE.discard(self)
        return not left

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
            f"EventLogger({','.join(self._brokers)!r}, model={self._model!r}, "
            f"version={self._version!r}, topic={self._topic!r})"
        )

    # -- one event ---------------------------------------------------------------------------

    def _log(self, kind: Any, time: Any, id: Any, version: str, **parts: Any) -> bool:
        if self._is_closed:
            return self._refuse("closed", "an event was logged after close")
        if time is None:
            at_ms = clock.time_ns() // 1_000_000
        else:
            found = self._instant(time)
            if found is None:
                return self._refuse("bad_time", f"{_shown(time)} is no instant")
            at_ms = found
        if not MIN_TIME_MS <= at_ms < MAX_TIME_MS:
            hint = " (are these seconds, not milliseconds?)" if isinstance(time, int) else ""
            return self._refuse("bad_time", f"{_shown(time)} is not in 2000 to 2099{hint}")
        if type(id) not in _SCALARS:
            id = self._value("id", id)
        if kind == "label" and (id is None or id == ""):
            return self._refuse("id_missing", "a label needs its prediction's id")
        event = Event(kind, self._model, at_ms, version, id, **parts)
        try:
            line = _encode(event)
        except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError):
            # Half a character, a name that is no text, a number too long to print: find it.
            event.id = self._value("id", id)
            for name in ("features", "prediction", "label", "tags"):
                found = getattr(event, name)
                if isinstance(found, dict):
                    setattr(event, name, self._cleaned(found))
                elif type(found) is int:
                    setattr(event, name, plain(found))
            line = _encode(event)
        if len(line) > MAX_RECORD_BYTES:
            return self._refuse(
                "too_large", f"an event of {len(line):,} bytes, {MAX_RECORD_BYTES:,} are allowed"
            )
        return self._put(line)

    def _instant(self, time: Any) -> int | None:
        try:
            found = instant_ms(time, self._zone)
        except Exception:  # noqa: BLE001 - a foreign object, or a time beyond the calendar
            return None
        if found is None:
            return None
        at_ms, is_naive = found
        if is_naive:
            self._tell_naive()
        return at_ms

    def _tell_naive(self) -> None:
        # Once: a service that logs them logs nothing else.
        if "naive" not in self._told_at:
            self._told_at["naive"] = clock.monotonic()
            otherwise = " (timezone= says otherwise)" if self._timezone == "UTC" else ""
            log.warning("times without an offset are read as %s%s", self._timezone, otherwise)

    def _values(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        # A plain dict of plain values is encoded as it is, before the caller can change it.
        if type(values) is dict and is_plain(values):
            return values
        return self._cleaned(values)

    def _cleaned(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        found, dropped = plain_values(values)
        if dropped:
            self._drop_values(dropped)
        return found

    def _value(self, what: str, value: Any) -> Any:
        if type(value) is dict and is_plain(value):
            return value
        try:
            return plain(value)
        except NotPlain as error:
            self._drop_values({what: str(error)})
            return None

    def _drop_values(self, dropped: Mapping[str, str]) -> None:
        self._buffer.drop_values(len(dropped))
        self._tell(
            "values",
            "JSON cannot hold "
            + shown([f"{_shown(name)} ({kind})" for name, kind in dropped.items()])
            + ": sent as null",
        )

    # -- the queue ---------------------------------------------------------------------------

    def _put(self, item: bytes | Record) -> bool:
        if self._pid != os.getpid():
            self._after_fork()
        if not self._buffer.put(item):
            if self._is_closed:
                return self._refuse("closed", "an event was logged after close")
            return self._refuse("queue_full", self._full())
        if self._thread is None:
            self._start()
        return True

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
            if self._thread is None:
                self._start()
            buffer.wait_for_progress(min(0.1, wait_s))
        if self._thread is None:
            self._start()
        return True

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._is_closed:
                return
            self._sending = Sending(
                self._buffer, self._connect, self._topic, self._linger_s, self._tell, Orders()
            )
            thread = threading.Thread(
                target=self._sending.run, name="driftline-logger", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending
                return
            self._thread = thread
            # A child of multiprocessing ends without the interpreter's own end.
            family = sys.modules.get("multiprocessing")
            if family is not None and family.parent_process() is not None:
                from multiprocessing.util import Finalize

                Finalize(self, _at_exit, exitpriority=100)

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
            self._tell(reason, words)
        return False

    def _full(self) -> str:
        pending = self._buffer.counts().pending
        return f"{pending:,} events wait for the broker at {','.join(self._brokers)}"

    def _tell(self, reason: str, words: str) -> None:
        """One line about a kind of trouble each minute."""
        now = clock.monotonic()
        if now - self._told_at.get(reason, -TELL_EVERY_S) < TELL_EVERY_S:
            return
        self._told_at[reason] = now
        with suppress(Exception):
            so_far = self._buffer.counts().dropped.get(reason)
            seen = f" ({so_far:,} dropped so far)" if so_far else ""
            log.warning("%s: %s%s", reason, words, seen)


def _name(what: str, name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ConfigError(what, "argument", name, f"1 to {MAX_NAME} printable characters")
    return name


def _zone(name: Any) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except Exception:  # noqa: BLE001 - it raises by what the text looks like
        raise ConfigError(
            "timezone", "argument", name, "an IANA zone such as Europe/Berlin"
        ) from None


def _within(what: str, value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ConfigError(what, "argument", value, f"a number from {low:g} to {high:g}")
    return float(value)


def _rows(frame: Any) -> int:
    try:
        return len(frame)
    except Exception:  # noqa: BLE001 - it is no frame
        return 1


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001 - a foreign object's own
        return f"a {type(value).__name__}"


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
