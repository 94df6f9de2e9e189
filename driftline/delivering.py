"""Records to Kafka for somebody who waits: sent, and acknowledged by all replicas, or an error.

For the API and `driftline log`; a service's own path takes `EventLogger`, which never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from driftline.errors import BrokerUnavailable, StreamError
from driftline.producer import (
    Producer,
    Record,
    addresses,
    checked_options,
    checked_topic,
    first_line,
)
from driftline.refusing import withheld
from driftline.sending import REFUSALS

# Nobody waits longer for an answer; a broker that is there needs milliseconds.
TIMEOUT_S: Final = 15.0


# What a broker answers to a record that it did not write.
_NOT_WRITTEN: Final = REFUSALS | {
    "TopicAuthorizationFailedError",
    "ClusterAuthorizationFailedError",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record lies that was acknowledged."""

    partition: int
    offset: int


class Delivery:
    """A topic that is written to; from any thread.

    The connection is made with the first record, and anew after an error.

    Parameters
    ----------
    bootstrap, topic, kafka
        As in `EventLogger`.
    timeout_s
        How long `deliver` waits.

    Raises
    ------
    ConfigError
        An address, a topic or a setting that cannot be.

    Examples
    --------
    >>> with Delivery("127.0.0.1:1", "driftline.events") as delivery:
    ...     delivery.deliver([Record(b"{}", 1)])
    Traceback (most recent call last):
    driftline.errors.BrokerUnavailable: no Kafka broker answers at 127.0.0.1:1 (Connection \
refused): start one, or name yours
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        kafka: Mapping[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._brokers, self._topic = addresses(bootstrap), checked_topic(topic)
        limit_ms = int(timeout_s * 1_000)
        # What has no answer in time is given up, not sent behind the back of who was told so.
        self._options = {
            "delivery_timeout_ms": limit_ms,
            "request_timeout_ms": max(1_000, limit_ms - 1_000),
        } | checked_options(kafka)
        self._timeout_s = timeout_s
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def deliver(self, records: Sequence[Record]) -> None:
        """Write the records and return when all of them are acknowledged.

        Raises
        ------
        BrokerUnavailable
            Not all were acknowledged in time. Some may be in the topic: sent again, they
            are there twice.
        StreamError
            The broker refuses one for what it is, or withholds the right to write.
        """
        until = time.monotonic() + self._timeout_s
        producer = self._connected()
        try:
            futures = [producer.send(self._topic, record) for record in records]
            for future in futures:
                # Its timeout rings after the producer's own, which gives the record up.
                future.get(timeout=max(0.1, until - time.monotonic() + 1.0))
        except Exception as error:
            self._drop(producer)
            words = f"{type(error).__name__}: {first_line(error)}"
            at = ",".join(self._brokers)
            right = withheld(error, self._topic)
            if right is not None:
                raise StreamError(f"the broker at {at} takes no record: {right}") from error
            if type(error).__name__ in REFUSALS:
                raise StreamError(f"the broker at {at} refuses a record ({words})") from error
            raise BrokerUnavailable(
                f"the broker at {at} did not take every record for {self._topic} ({words})"
            ) from error

    def deliver_each(self, records: Sequence[Record]) -> list[Placed | StreamError]:
        """Write the records and return for each where it lies, or what became of it.

        A `BrokerUnavailable` in the list: nobody knows whether that record is in the topic. Any
        other error there: it is not.

        Raises
        ------
        BrokerUnavailable
            There is no connection: nothing was written.
        """
        until = time.monotonic() + self._timeout_s
        producer = self._connected()
        sent: list[Any] = []
        found: list[Placed | StreamError] = []
        for record in records:
            try:
                sent.append(producer.send(self._topic, record))
            except Exception as error:  # noqa: BLE001 - before it was taken, so it is not written
                sent.append(error)
        for future in sent:
            try:
                if isinstance(future, BaseException):
                    raise future
                placed = future.get(timeout=max(0.1, until - time.monotonic() + 1.0))
                found.append(Placed(placed.partition, placed.offset))
            except Exception as error:  # noqa: BLE001 - kafka-python's, whatever it raises
                words = f"{type(error).__name__}: {first_line(error)}"
                is_unsent = future is error or type(error).__name__ in _NOT_WRITTEN
                kind = StreamError if is_unsent else BrokerUnavailable
                words = str(withheld(error, self._topic) or words)
                said = f"the broker at {','.join(self._brokers)} took no record ({words})"
                found.append(kind(said))
        if any(isinstance(one, StreamError) for one in found):
            self._drop(producer)
        return found

    def connect(self) -> None:
        """Have a connection.

        Raises
        ------
        BrokerUnavailable
            There is none.
        """
        self._connected()

    @property
    def topic(self) -> str:
        """What is written to."""
        return self._topic

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(2.0)

    def __enter__(self) -> Delivery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connected(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(self._brokers, self._options)
            return self._producer

    def _drop(self, producer: Producer) -> None:
        """It failed: after some errors it would fail every record from now on."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        producer.close(0.0)
