"""The year's log, written to Kafka as the scoring service and the airport would write it.

A prediction at each scheduled departure, a label when the flight lands, merged by
event time. JSON, one event a record, keyed by the event's id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from driftline.errors import BrokerUnavailable
from monitor.cli.demo.flights import FEATURES

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


def log(stream: pd.DataFrame, *, partitions: int) -> Iterator[Slice]:
    """The merged log of the scored stream in order of event time, slice by slice."""
    departs = _ms(stream["time"])
    landed = stream.loc[stream["lands_at"].notna(), ["id", "lands_at", "late"]]
    landed = landed.iloc[np.argsort(_ms(landed["lands_at"]), kind="stable")]
    lands = _ms(landed["lands_at"])
    times = np.concatenate([departs, lands])
    order = np.argsort(times, kind="stable")  # a prediction before a label of the same minute
    is_label = order >= len(departs)
    predicted = labelled = 0
    for start in range(0, len(order), _SLICE):
        kinds = is_label[start : start + _SLICE]
        n_labels = int(kinds.sum())
        n_predictions = len(kinds) - n_labels
        # Both kinds are in order of time already, so a slice takes the next of each.
        predictions = _predictions(stream.iloc[predicted : predicted + n_predictions], partitions)
        labels = _labels(landed.iloc[labelled : labelled + n_labels], partitions)
        predicted, labelled = predicted + n_predictions, labelled + n_labels
        yield Slice(
            [next(labels) if kind else next(predictions) for kind in kinds.tolist()],
            n_predictions,
            n_labels,
            int(times[order[start + len(kinds) - 1]]),
        )


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
    model: str = MODEL
    version: str = VERSION


class Label(msgspec.Struct, tag_field="type", tag="label"):
    """A label event."""

    id: str
    time: str
    label: int
    model: str = MODEL


# Structs made column by column encode several times faster than dicts made row by row.
_Features: Final = msgspec.defstruct("Features", list(FEATURES))
_encode: Final = msgspec.json.Encoder().encode


def _predictions(rows: pd.DataFrame, partitions: int) -> Iterator[Record]:
    features = map(_Features, *(rows[name].tolist() for name in FEATURES))  # NaN becomes null
    outcomes = map(Outcome, rows["prediction"].tolist(), rows["score"].tolist())
    ids = rows["id"].tolist()
    return _records(ids, map(Prediction, ids, _text(rows["time"]), features, outcomes), partitions)


def _labels(rows: pd.DataFrame, partitions: int) -> Iterator[Record]:
    ids = rows["id"].tolist()
    late = rows["late"].astype(int).tolist()
    return _records(ids, map(Label, ids, _text(rows["lands_at"]), late), partitions)


def _records(ids: list[str], events: Iterable[msgspec.Struct], partitions: int) -> Iterator[Record]:
    keys = [key.encode() for key in ids]
    # kafka-python's own partitioner hashes in Python, which takes as long as all the rest.
    return zip(keys, map(_encode, events), (crc32(key) % partitions for key in keys), strict=True)


def send(
    slices: Iterator[Slice],
    *,
    bootstrap: str,
    topic: str,
    told: Callable[[Slice], None],
    client_options: dict[str, Any] | None = None,
) -> int:
    """Send the slices in order and return how many records were acknowledged.

    `told` is called after each slice; what it raises ends the sending.

    Raises
    ------
    BrokerUnavailable
        A record was not acknowledged in time.
    """
    # librdkafka's client: the demo's service is not what the demo is about, and on two cores
    # kafka-python's producer would take more of them than everything that Driftline does.
    from confluent_kafka import KafkaException, Producer

    failed: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "queue.buffering.max.kbytes": _QUEUED_KB,
            "message.timeout.ms": int(_DELIVERY_S * 1000),
            "enable.idempotence": False,  # the embedded broker knows no producer ids
            # Only what failed is reported; the last flush says that nothing is outstanding.
            "delivery.report.only.error": True,
            "on_delivery": lambda error, _: failed.append(str(error)) if error else None,
            "log_level": 0,
            **(client_options or {}),
        }
    )
    sent = 0
    try:
        for piece in slices:
            for key, value, partition in piece.records:
                _queue(producer, topic, key, value, partition)
            sent += len(piece.records)
            producer.poll(0)
            if failed:
                break
            told(piece)
        if not failed and producer.flush(_DELIVERY_S):
            failed.append(f"no answer within {_DELIVERY_S:.0f} s")
    except (KafkaException, BufferError) as error:
        failed.append(str(error))
    finally:
        producer.purge()
    if failed:
        raise BrokerUnavailable(
            f"the broker at {bootstrap} took no more records ({failed[0]}): "
            "name yours with --kafka HOST:PORT"
        )
    return sent


def _queue(producer: Any, topic: str, key: bytes, value: bytes, partition: int) -> None:
    """Queue a record, waiting for room while the broker catches up."""
    until_s = time.monotonic() + _DELIVERY_S
    while True:
        try:
            producer.produce(topic, value, key, partition)
        except BufferError:
            if time.monotonic() > until_s:
                raise
            producer.poll(0.05)
        else:
            return
