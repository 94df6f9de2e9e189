"""Topics read to their end: our consumer beside its client alone, in turns on one core."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bench import rig as rigs
from bench.material import ARROW_HEADERS, Shape, arrow_records, json_records
from bench.parts import Asked, Missing
from bench.picture import flame
from bench.report import Part, Table, ratio
from bench.rig import DATABASES, Rig, Topic
from bench.sampling import by_function

EVENTS: Final = 300_000
ROWS: Final = 2_000_000
ROWS_OF_RECORD: Final = 1_000
# So many different Arrow records; their times are within an hour, whichever comes first.
ARROW_DISTINCT: Final = 100
TOP: Final = 15
NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "discarded": "read and discarded"}
# A broker that lets members of a new group join for so long: both read from the first record on.
JOIN_TOGETHER: Final = {"group.initial.rebalance.delay.ms": "4000"}


def json(asked: Asked) -> Part:
    """One event a record, with kafka-python."""
    part = Part("json", "JSON, one event a record, kafka-python")
    topic = _json_topic(asked)
    _compare(asked, part, topic, "kafka-python", topic.records, "events/s")
    return part


def confluent(asked: Asked) -> Part:
    """The same with confluent-kafka."""
    _require_confluent()
    part = Part("confluent", "JSON, one event a record, confluent")
    topic = _json_topic(asked)
    _compare(asked, part, topic, "confluent", topic.records, "events/s")
    return part


def arrow(asked: Asked) -> Part:
    """A thousand rows a record, with kafka-python and with confluent-kafka."""
    part = Part("arrow", f"Arrow, {ROWS_OF_RECORD:,} rows a record")
    rows = asked.some(ROWS, 20_000) // ROWS_OF_RECORD * ROWS_OF_RECORD
    distinct = min(rows, ARROW_DISTINCT * ROWS_OF_RECORD)
    records = arrow_records(Shape(), distinct, rows_of_record=ROWS_OF_RECORD)
    n = rows // ROWS_OF_RECORD
    repeated = (records[i * len(records) // n] for i in range(n))
    topic = asked.rig.topic(repeated, headers=ARROW_HEADERS)
    _compare(asked, part, topic, "kafka-python", rows, "rows/s")
    if importlib.util.find_spec("confluent_kafka") is not None:
        _compare(asked, part, topic, "confluent", rows, "rows/s", prefix="confluent_")
    return part


def _json_topic(asked: Asked) -> Topic:
    events = asked.some(EVENTS)
    return asked.rig.topic(json_records(Shape(), events))


def _require_confluent() -> None:
    for module in ("confluent_kafka", "consumers.confluent"):
        if importlib.util.find_spec(module) is None:
            raise Missing(f"{module} is not installed: pip install 'driftline[confluent]'")


def consume(
    rig: Rig, topic: Topic, client: str, kind: str, shape: Shape, events: int, **more: Any
) -> dict[str, Any]:
    """Count a topic into a new database on the consumer's core, and check what was counted."""
    url = rig.database(kind, shape)
    try:
        found = rig.run(
            "consume", client=client, database_url=url, bootstrap=rig.bootstrap, topic=topic.name,
            group=f"g-{uuid.uuid4().hex[:12]}", ends=dict(topic.ends), **more,
        )  # fmt: skip
        _check(rigs.counted(url), events)
    finally:
        rig.drop(url)
    return found


def _one(unit: str) -> str:
    return {"events/s": "an event", "rows/s": "a row"}[unit]


def _check(counted: int, events: int) -> None:
    if counted != events:
        raise RuntimeError(f"{counted:,} of {events:,} events were counted")


def _compare(
    asked: Asked, part: Part, topic: Topic, client: str, events: int, unit: str, prefix: str = ""
) -> None:
    """Path, ceiling, path, ceiling ...: what disturbs one disturbs the other."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*DATABASES, "discarded")}
    for _ in range(asked.runs):
        for kind in DATABASES:
            found[kind].append(consume(asked.rig, topic, client, kind, Shape(), events))
            found["discarded"].append(
                asked.rig.run(
                    "discard", client=client, bootstrap=asked.rig.bootstrap, topic=topic.name,
                    ends=dict(topic.ends),
                )
            )  # fmt: skip
    ceiling = [events / run["seconds"] for run in found["discarded"]]
    rows: list[tuple[Any, ...]] = []
    for name, runs in found.items():
        speed = part.note_runs(prefix + name, unit, [events / run["seconds"] for run in runs])
        cpu = part.note_runs(
            f"{prefix}{name}_cpu", f"us {_one(unit)}",
            [1e6 * run["cpu_s"] / events for run in runs],
        )  # fmt: skip
        share = None
        if name != "discarded":
            # Each path beside the ceiling that was measured right after it.
            beside = ceiling[DATABASES.index(name) :: len(DATABASES)]
            share = part.note_runs(
                f"{prefix}{name}_ratio", "of the ceiling",
                [ratio(a, b) for a, b in zip(speed.runs, beside, strict=True)],
            )  # fmt: skip
            part.note_runs(f"{prefix}{name}_memory", "MB at most", [run["peak_mb"] for run in runs])
        rows.append(
            (
                f"{client}, {'into ' if share else ''}{NAMES[name]}",
                speed.median,
                min(speed.runs),
                max(speed.runs),
                cpu.median,
                f"{100 * share.median:.0f} %" if share else "100 %",
            )
        )  # fmt: skip
    if not prefix:
        each = "row_bytes" if unit == "rows/s" else "record_bytes"
        part.note_runs(each, "bytes", [topic.n_bytes / events])
        part.notes.append(
            f"{topic.records:,} records of {topic.n_bytes / topic.records:,.0f} bytes in "
            f"{len(topic.ends)} partitions: 20 floats, 5 words, a class and its score; "
            "no segments; the consumer's own settings."
        )
    columns = ("", unit, "slowest", "fastest", f"processor us {_one(unit)}", "of the ceiling")
    part.tables.append(Table("", columns, tuple(rows)))


def two(asked: Asked) -> Part:
    """One and two consumers on two cores, which broker and database use, too."""
    part = Part("two", "Two consumers on two cores")
    if len(asked.rig.cores) < 2:
        raise Missing("it needs two cores")
    with Rig(JOIN_TOGETHER, asked.rig.cores) as rig:
        topic = rig.topic(json_records(Shape(), asked.some(EVENTS)))
        rig.database("postgresql", Shape())
        rig.share_all_cores()
        seconds: dict[int, list[float]] = {1: [], 2: []}
        cpu: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(asked.runs):
            for members in (1, 2):
                wall, used = _together(rig, topic, members)
                seconds[members].append(wall)
                cpu[members].append(1e6 * used / topic.records)
    rows: list[tuple[Any, ...]] = []
    names = {1: "one", 2: "two"}
    for members, name in names.items():
        speed = part.note_runs(name, "events/s", [topic.records / s for s in seconds[members]])
        used = part.note_runs(f"{name}_cpu", "us an event", cpu[members])
        rows.append((f"{members} consumer{'s'[: members - 1]}", speed.median, used.median))
    both = part.note_runs("ratio", "times", map(ratio, seconds[1], seconds[2]))
    more = part.note_runs("cpu_ratio", "times", map(ratio, cpu[2], cpu[1]))
    rows.append(("two to one", f"{both.median:.2f} times", f"{more.median:.2f} times"))
    part.notes.append(
        "kafka-python into PostgreSQL, nothing bound to a core: broker, database and consumers "
        "share two. The clock runs from the first partition that may be read to the last commit."
    )
    part.tables.append(Table("", ("", "events/s", "processor us an event"), tuple(rows)))
    return part


def _together(rig: Rig, topic: Topic, members: int) -> tuple[float, float]:
    """Seconds until a topic is counted by so many members, and the processor time of all."""
    url, group = rig.database("postgresql", Shape()), f"g-{uuid.uuid4().hex[:12]}"
    try:
        started = [
            rig.start(
                "consume", rig.cores, client="kafka-python", database_url=url, group=group,
                bootstrap=rig.bootstrap, topic=topic.name, ends=dict(topic.ends),
            )
            for _ in range(members)
        ]  # fmt: skip
        found = [rigs.finish(process) for process in started]
        _check(rigs.counted(url), topic.records)
    finally:
        rig.drop(url)
    shares = [one["records"] for one in found]
    is_even = members == 1 or max(shares) <= 0.6 * topic.records
    if sum(shares) != topic.records or not is_even:
        raise RuntimeError(f"{members} consumers read {shares}: the group moved partitions")
    first = min(one["began_at"] for one in found)
    return max(one["ended_at"] for one in found) - first, sum(one["cpu_s"] for one in found)


def profile(asked: Asked) -> Part:
    """Where the processor time of the JSON path goes."""
    part = Part("profile", "The hot path of JSON")
    topic = _json_topic(asked)
    found = consume(
        asked.rig, topic, "kafka-python", "sqlite", Shape(), topic.records, is_sampled=True
    )
    stacks = [(list(stack), float(seconds)) for stack, seconds in found["stacks"]]
    total = sum(seconds for _, seconds in stacks)
    each_us = part.note_runs("cpu", "us an event", [1e6 * total / topic.records]).median
    rows = [
        (f"`{name}`", f"{100 * own:.1f} %", f"{100 * whole:.1f} %", each_us * own)
        for name, own, whole in by_function(stacks)[:TOP]
    ]  # fmt: skip
    part.notes.append(
        f"A sample every 2 ms of processor time while {topic.records:,} events were counted into "
        "SQLite with kafka-python, from its first record on. What a function of C takes is "
        "its caller's; `client` is kafka-python's own thread."
    )
    columns = ("function", "itself", "with what it calls", "us an event itself")
    part.tables.append(Table("", columns, tuple(rows)))
    part.pictures["bench-profile.svg"] = flame(_merged(stacks))
    return part


def _merged(stacks: Iterable[tuple[list[str], float]]) -> Mapping[tuple[str, ...], float]:
    return {tuple(stack): seconds for stack, seconds in stacks}
