"""What logging costs a service: EventLogger beside kafka-python's producer, one process each."""

from __future__ import annotations

from typing import Any, Final

from bench.material import Shape
from bench.parts import Asked
from bench.report import Part, Table, ratio

EVENTS: Final = 60_000
# As a busy service logs, and for how many calls.
PER_SECOND: Final = 1_000
CALLS: Final = 5_000
# kafka-python's own defaults, and batches that it sends with less work.
PRODUCERS: Final = {
    "producer": {"linger_ms": 0, "batch_bytes": 16_384},
    "producer_batched": {"linger_ms": 20, "batch_bytes": 65_536},
}


def logger(asked: Asked) -> Part:
    """The same events, logged and sent; then what one call takes of its caller."""
    part = Part("logger", "EventLogger beside kafka-python's producer alone")
    rig, events = asked.rig, asked.some(EVENTS)
    topic = rig.empty_topic()
    where = {"bootstrap": rig.bootstrap, "topic": topic}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ("logger", *PRODUCERS)}
    calls = []
    for _ in range(asked.runs):
        for name, settings in PRODUCERS.items():
            runs["logger"].append(rig.run("log", events=events, **where))
            runs[name].append(rig.run("send", events=events, **settings, **where))
        calls.append(
            rig.run("paced", events=asked.some(CALLS), per_second=PER_SECOND, **where)
        )  # fmt: skip
    rig.remove_topic(topic)
    rows: list[tuple[Any, ...]] = []
    says = {
        "logger": "EventLogger, all of it",
        "producer": "kafka-python's producer, its defaults",
        "producer_batched": "kafka-python's producer, batches of 64 KB",
    }
    for name, some in runs.items():
        speed = part.note_runs(name, "events/s", [r["records"] / r["seconds"] for r in some])
        cpu = part.note_runs(
            f"{name}_cpu", "us an event", [1e6 * r["cpu_s"] / r["records"] for r in some]
        )
        rows.append((says[name], speed.median, min(speed.runs), max(speed.runs), cpu.median))
    # The faster of the two is the ceiling; each run beside the one right after it.
    best = max(PRODUCERS, key=lambda name: part.figures[name].median)
    beside = list(PRODUCERS).index(best)
    ours = part.figures["logger"].runs[beside :: len(PRODUCERS)]
    part.note_runs("ratio", "of the ceiling", map(ratio, ours, part.figures[best].runs))
    busy = part.note_runs(
        "busy", "us a call", [1e6 * r["called_s"] / r["records"] for r in runs["logger"]]
    )
    middle = part.note_runs("added", "us a call", [r["median_us"] for r in calls])
    late = part.note_runs("added_p99", "us a call", [r["p99_us"] for r in calls])
    part.notes.append(
        f"{events:,} events of {Shape().features} features as fast as they are taken, until all "
        "are acknowledged by the broker; the producer sends JSON that was encoded before, one "
        "event a record, the logger encodes, batches and sends from one process on one core."
    )
    columns = ("", "events/s", "slowest", "fastest", "processor us an event")
    part.tables.append(Table("", columns, tuple(rows)))
    part.tables.append(
        Table(
            "What a call of `log` takes of its caller",
            ("", "us"),
            (
                (f"at {PER_SECOND:,} events/s, median", middle.median),
                (f"at {PER_SECOND:,} events/s, 99th percentile", late.median),
                ("as fast as possible, the logger's thread on the same core", busy.median),
            ),
        )
    )
    return part
