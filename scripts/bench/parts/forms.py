"""How fast each form of record is counted, without Kafka: bytes to counts in one process."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Final, cast

from bench.material import ARROW_HEADERS, Shape, arrow_records, json_records, model
from bench.parts import Asked
from bench.report import Part, Table, ratio
from consumers.admit import Rules, admit
from consumers.count import count
from consumers.source import Record
from monitor.storage.registry import BoundVersion, Registry

ROWS: Final = 25_000
ROWS_OF_RECORD: Final = 1_000


def known(shape: Shape) -> Registry:
    """A registry with one model of this shape, as a consumer holds it."""
    reference = shape.reference()
    name = model(0)
    bound = BoundVersion(1, name, "1", "UTC", 3_600_000, ((0, reference.digest),))
    return Registry(1, frozenset({name}), {(name, "1"): bound}, {reference.digest: reference})


def records_of(values: list[bytes], *, is_arrow: bool = False) -> list[Record]:
    """Values as a consumer's client hands them over."""
    headers = ARROW_HEADERS if is_arrow else ()
    return [
        cast(Record, SimpleNamespace(offset=i, timestamp=-1, value=value, headers=headers))
        for i, value in enumerate(values)
    ]


def count_all(records: list[Record], registry: Registry, rules: Rules) -> int:
    """Admit and count records as a ledger does, piece by piece; return the events."""
    events = 0
    while records:
        admitted = admit(records, rules)
        made = count(admitted, registry)
        events += sum(made.counters.values())
        records = records[admitted.n_records :]
    return events


def formats(asked: Asked) -> Part:
    """The same events as JSON, as NDJSON and as Arrow, in turns."""
    shape, n = Shape(), asked.some(ROWS)
    part = Part("formats", "Bytes to counts, without Kafka")
    registry, rules = known(shape), Rules(max_record_bytes=10_000_000)
    lines = list(json_records(shape, n))
    blocks = [lines[i : i + ROWS_OF_RECORD] for i in range(0, n, ROWS_OF_RECORD)]
    values = {
        "JSON": lines,
        "NDJSON": [b"\n".join(block) for block in blocks],
        "Arrow": arrow_records(shape, n, rows_of_record=ROWS_OF_RECORD),
    }
    records = {name: records_of(some, is_arrow=name == "Arrow") for name, some in values.items()}
    speeds: dict[str, list[float]] = {name: [] for name in values}
    for run in range(asked.runs + 1):
        for name, some in records.items():
            began = time.perf_counter()
            events = count_all(some, registry, rules)
            took = time.perf_counter() - began
            if events != n:
                raise RuntimeError(f"{events:,} of {n:,} events of {name} were counted")
            if run:  # the first one warms up
                speeds[name].append(n / took)
    found = {name: part.note_runs(name.lower(), "events/s", runs) for name, runs in speeds.items()}
    part.notes.append(
        f"{n:,} events of 20 floats, 5 words, a class and its score; {ROWS_OF_RECORD:,} rows a "
        "record of NDJSON and of Arrow; decoded, admitted and counted in this process."
    )
    part.tables.append(
        Table(
            "",
            ("", "events/s", "times JSON", "bytes an event"),
            tuple(
                (
                    name,
                    figure.median,
                    f"{ratio(figure.median, found['JSON'].median):.1f}",
                    sum(map(len, values[name])) / n,
                )
                for name, figure in found.items()
            ),
        )
    )
    return part
