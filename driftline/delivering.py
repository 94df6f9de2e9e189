"""Records to Kafka for somebody who waits: sent, and acknowledged by all replicas, or an error.

For the API and `driftline log`; a service's own path takes `EventLogger`, which never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
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
from driftline.sending import REFUSALS

# Nobody waits longer for an answer; a broker that is there needs milliseconds.
TIMEOUT_S: Final = 15.0


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
            The broker refuses one for what it is.
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
            if type(error).__name__ in REFUSALS:
                raise StreamError(f"the broker at {at} refuses a record ({words})") from error
            raise BrokerUnavailable(
                f"the broker at {at} did not take every record for {self._topic} ({words})"
            ) from error

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
