"""The year's log, written to Kafka as the scoring service and the airport would write it.

A prediction at each scheduled departure, a label when the flight lands, merged by
event time. JSON, one event a record, keyed by the event's id. Another version of the
model can take over between any two records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from zlib import crc32

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from driftline.errors import BrokerUnavailable
from monitor.cli.demo.flights import FEATURES
from monitor.cli.demo.model import LATE, ON_TIME, is_late

MODEL: Final = "flight-delay"
VERSION: Final = "1"

_SLICE: Final = 4_096  # records between two looks at the clock, the progress and the queue
_QUEUED_KB: Final = 16_384  # what may wait for the broker's answer
_DELIVERY_S: Final = 60.0

Record = tuple[bytes, bytes, int]  # key, value, partition


@dataclass(frozen=True)
class Slice:
    """Consecutive records of the merged log."""

    records: list[Record]
    predictions: int
    labels: int
    last_ms: int  # event time of the last record


@dataclass(frozen=True)
class Stop:
    """Where the log waits for whoever judges it.

    Attributes
    ----------
    day_end_ms
        A local day is over there.
    position
        Before this record: those before it are enough to know that the day is over.
    """

    day_end_ms: int
    position: int


class Log:
    """The merged log of a scored stream, in order of event time.

    Parameters
    ----------
    stream
        As `model.score` returns it.
    partitions
        Of the topic; an event's id says which one takes it.

    Attributes
    ----------
    version
        Of the model that scores what is not written yet.
    """

    def __init__(self, stream: pd.DataFrame, *, partitions: int) -> None:
        self.version = VERSION
        self._stream = stream
        self._is_late = (stream["prediction"] == LATE).to_numpy(np.bool_, copy=True)
        self._scores = stream["score"].to_numpy(np.float64, copy=True)
        departs = _ms(stream["time"])
        landed = np.flatnonzero(stream["lands_at"].notna())
        lands = _ms(stream["lands_at"].iloc[landed])
        by_landing = np.argsort(lands, kind="stable")
        self._landed = landed[by_landing].astype(np.int32)  # rows of the stream
        times = np.concatenate([departs, lands[by_landing]])
        # A prediction before a label of the same minute.
        order = np.argsort(times, kind="stable")
        self._times, self._is_label = times[order], order >= len(departs)
        self._labels_before = np.concatenate([[0], np.cumsum(self._is_label)])
        hashed = np.concatenate([_hashed(stream["id"]), _hashed(stream["id"].iloc[self._landed])])
        self._partition = (hashed % partitions).astype(np.uint8)[order]

    def __len__(self) -> int:
        return len(self._times)

    @property
    def scores(self) -> NDArray[np.float64]:
        """The score of each flight as it is written, shape (flights,)."""
        return self._scores

    def stops(self, timezone: str, *, lateness_ms: int) -> list[Stop]:
        """The ends of local days, each where every partition has told that it is over.

        Days whose end some partition never tells, as the log ends before, are left out.
        """
        first, last = pd.to_datetime(self._times[[0, -1]], unit="ms", utc=True).tz_convert(timezone)
        days = pd.date_range(first.normalize(), last, freq="D", inclusive="right")
        ends_ms = days.as_unit("ms").asi8
        positions = np.zeros(len(ends_ms), np.int64)
        for partition in np.unique(self._partition):
            places = np.flatnonzero(self._partition == partition)
            told = np.searchsorted(self._times[places], ends_ms + lateness_ms)
            after = np.append(places + 1, len(self) + 1)[told]
            positions = np.maximum(positions, after)
        return [
            Stop(int(end_ms), int(position))
            for end_ms, position in zip(ends_ms, positions, strict=True)
            if position <= len(self)
        ]

    def slices(self, start: int = 0, stop: int | None = None) -> Iterator[Slice]:
        """The records of the positions `[start, stop)`, slice by slice."""
        end = len(self) if stop is None else stop
        for first in range(start, end, _SLICE):
            last = min(first + _SLICE, end)
            kinds = self._is_label[first:last]
            labelled, after = int(self._labels_before[first]), int(self._labels_before[last])
            # Both kinds are in order of time already, so a slice takes the next of each.
            predictions = self._predictions(first - labelled, last - after)
            labels = self._labels(labelled, after)
            partitions = self._partition[first:last].tolist()
            yield Slice(
                [
                    (*next(labels if is_label else predictions), partition)
                    for is_label, partition in zip(kinds.tolist(), partitions, strict=True)
                ],
                last - first - (after - labelled),
                after - labelled,
                int(self._times[last - 1]),
            )

    def take_over(self, version: str, scores: NDArray[np.float64], position: int) -> int | None:
        """Let another version score what comes from a position on.

        Returns its first flight's time, epoch ms; None where no flight comes any more. `scores`
        holds that version's score of each flight; those of flights before are not looked at.
        """
        row = position - int(self._labels_before[position])
        self.version = version
        self._scores[row:] = scores[row:].round(4)
        self._is_late[row:] = is_late(scores[row:])
        departs = _ms(self._stream["time"].iloc[row : row + 1])
        return int(departs[0]) if len(departs) else None

    def _predictions(self, first: int, last: int) -> Iterator[tuple[bytes, bytes]]:
        rows = self._stream.iloc[first:last]
        features = map(_Features, *(rows[name].tolist() for name in FEATURES))  # NaN becomes null
        verdicts = np.where(self._is_late[first:last], LATE, ON_TIME).tolist()
        outcomes = map(Outcome, verdicts, self._scores[first:last].tolist())
        ids, times = rows["id"].tolist(), _text(rows["time"])
        versions = [self.version] * len(ids)
        return _records(ids, map(Prediction, ids, times, features, outcomes, versions))

    def _labels(self, first: int, last: int) -> Iterator[tuple[bytes, bytes]]:
        rows = self._landed[first:last]
        ids = self._stream["id"].iloc[rows].tolist()
        times = _text(self._stream["lands_at"].iloc[rows])
        late = self._stream["late"].iloc[rows].astype(int).tolist()
        return _records(ids, map(Label, ids, times, late))


def _hashed(ids: pd.Series[str]) -> NDArray[np.uint32]:
    # kafka-python's own partitioner hashes in Python, which takes as long as all the rest. Some at
    # a time: all ids at once, as Python has them, are 40 MB.
    starts = range(0, len(ids), _SLICE)
    pieces = [
        np.fromiter(map(crc32, map(str.encode, ids.iloc[at : at + _SLICE].tolist())), np.uint32)
        for at in starts
    ]
    return np.concatenate([np.zeros(0, np.uint32), *pieces])


def _ms(times: pd.Series[pd.Timestamp]) -> NDArray[np.int64]:
    return pd.DatetimeIndex(times).as_unit("ms").asi8


def _text(times: pd.Series[pd.Timestamp]) -> list[str]:
    seconds = _ms(times).astype("datetime64[ms]").astype("datetime64[s]")
    text: list[str] = np.datetime_as_string(seconds, timezone="UTC").tolist()
    return text


class Outcome(msgspec.Struct):
    """What the model said."""

    label: str = msgspec.field(name="class")
    score: float


class Prediction(msgspec.Struct, tag_field="type", tag="prediction"):
    """A prediction event, field by field as the contract writes it."""

    id: str
    time: str
    features: msgspec.Struct
    prediction: Outcome
    version: str
    model: str = MODEL


class Label(msgspec.Struct, tag_field="type", tag="label"):
    """A label event."""

    id: str
    time: str
    label: int
    model: str = MODEL


# Structs made column by column encode several times faster than dicts made row by row.
_Features: Final = msgspec.defstruct("Features", list(FEATURES))
_encode: Final = msgspec.json.Encoder().encode


def _records(ids: list[str], events: Iterable[msgspec.Struct]) -> Iterator[tuple[bytes, bytes]]:
    return zip((key.encode() for key in ids), map(_encode, events), strict=True)


class Sender:
    """Writes slices of the log to a topic.

    Parameters
    ----------
    told
        Called after each slice; what it raises ends the sending.

    Attributes
    ----------
    sent
        How many records were queued; all of them are acknowledged after `flush`.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        topic: str,
        told: Callable[[Slice], None],
        client_options: dict[str, Any] | None = None,
    ) -> None:
        # librdkafka's client: the demo's service is not what the demo is about, and on two cores
        # kafka-python's producer would take more of them than everything that Driftline does.
        from confluent_kafka import Producer

        self.sent = 0
        self._bootstrap, self._topic, self._told = bootstrap, topic, told
        self._failed: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 20,
                # The embedded broker keeps in memory what it is sent, as it is sent.
                "compression.type": "lz4",
                "queue.buffering.max.kbytes": _QUEUED_KB,
                "message.timeout.ms": int(_DELIVERY_S * 1000),
                "enable.idempotence": False,  # the embedded broker knows no producer ids
                # Only what failed is reported; a flush says that nothing is outstanding.
                "delivery.report.only.error": True,
                "on_delivery": lambda error, _: self._failed.append(str(error)) if error else None,
                "log_level": 0,
                **(client_options or {}),
            }
        )

    def send(self, slices: Iterable[Slice]) -> None:
        """Send slices in order, and return when every record sent so far is acknowledged.

        Raises
        ------
        BrokerUnavailable
            A record was not acknowledged in time.
        """
        from confluent_kafka import KafkaException

        try:
            for piece in slices:
                for key, value, partition in piece.records:
                    self._queue(key, value, partition)
                self.sent += len(piece.records)
                self._producer.poll(0)
                self._check()
                self._told(piece)
            left = self._producer.flush(_DELIVERY_S)
        except (KafkaException, BufferError) as error:
            self._failed.append(str(error))
        else:
            if left and not self._failed:
                self._failed.append(f"no answer within {_DELIVERY_S:.0f} s")
        self._check()

    def _check(self) -> None:
        if self._failed:
            raise BrokerUnavailable(
                f"the broker at {self._bootstrap} took no more records ({self._failed[0]}): "
                "name yours with --kafka HOST:PORT"
            )

    def _queue(self, key: bytes, value: bytes, partition: int) -> None:
        """Queue a record, waiting for room while the broker catches up."""
        until_s = time.monotonic() + _DELIVERY_S
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition)
            except BufferError:
                if time.monotonic() > until_s:
                    raise
                self._producer.poll(0.05)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._producer.purge()
