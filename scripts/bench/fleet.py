"""A fleet on paper: what the measured figures say of a million events a second; pure.

A calculation, not a measurement: one machine's figures, multiplied. What was not measured here is
an assumption, named as such (`Assumed`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.report import Table, ratio, shown

PARTITIONS_EACH: Final = 2  # of a consumer, so that some can be added
# Figures that it is made of, by what they are called here.
NEEDED: Final = {
    "json_rate": "json.postgresql",
    "arrow_rate": "arrow.postgresql",
    "json_bytes": "json.record_bytes",
    "arrow_bytes": "arrow.row_bytes",
    "pane_us": "checkpoint.postgresql_pane_us",
    "pane_bytes": "checkpoint.pane_bytes",
    "pane_held": "checkpoint.pane_held",
    "log_bytes": "checkpoint.log_bytes",
    "judging_ms": "judging.postgresql",
    "findings": "judging.findings",
    "finding_bytes": "judging.finding_bytes",
}


@dataclass(frozen=True)
class Fleet:
    """What is to be watched; the common case of 25 features."""

    events_per_s: float = 1_000_000
    models: int = 5_000
    features: int = 25
    segments: int = 10

    @property
    def panes(self) -> int:
        """Panes of one hour, each model on one partition."""
        return self.models * (1 + self.segments)


@dataclass(frozen=True)
class Assumed:
    """What was not measured here.

    Attributes
    ----------
    broker_mb_per_s
        What one broker takes of producers, its replicas' traffic beside it.
    load_ratio
        How much of its time a consumer may be busy, so that it catches up after an outage.
    wide_judged
        Features (the prediction's among them) and segments (`all` among them) of the hour that
        `judging` measured.
    held_bytes
        What it may hold before it must write (`IngestSettings.max_bytes`).
    """

    broker_mb_per_s: float = 100.0
    replicas: int = 3
    kafka_days: float = 3.0
    load_ratio: float = 0.5
    interval_s: float = 30.0
    hours_days: int = 400
    wide_judged: tuple[int, int] = (102, 21)
    held_bytes: float = 96e6


@dataclass(frozen=True)
class Design:
    """How its events are sent.

    Attributes
    ----------
    is_keyed
        A model's records are in one partition; otherwise any of its events is in any partition.
    """

    name: str
    rate: float
    event_bytes: float
    is_keyed: bool


@dataclass(frozen=True)
class Needs:
    """What one design takes; seconds are of one core or connection a second."""

    name: str
    mb_per_s: float
    brokers: int
    kafka_tb: float
    consumers: int
    partitions: int
    held_mb: float
    writes_every_s: float
    panes_per_s: float
    log_mb_per_s: float
    writing: float
    busy: float


def needs(design: Design, fleet: Fleet, assumed: Assumed, figures: Mapping[str, float]) -> Needs:
    """What a fleet takes, from one core's figures.

    Consumers count and write. Keyed by model, there are as many as hold all panes in memory and
    are busy for no more than `load_ratio` of their time. Otherwise more of them do not help, for
    every further partition is a further row of every pane: there are as many as count.
    """
    mb_per_s = fleet.events_per_s * design.event_bytes / 1e6
    counting = fleet.events_per_s / design.rate
    fits = assumed.held_bytes / figures["pane_held"]
    consumers = max(1, math.ceil(counting / assumed.load_ratio))
    if design.is_keyed:
        consumers = max(consumers, math.ceil(fleet.panes / fits))
    while True:
        panes = fleet.panes / consumers if design.is_keyed else PARTITIONS_EACH * fleet.panes
        every_s, written = writes(panes, fits, fleet.events_per_s / consumers, assumed.interval_s)
        panes_per_s = consumers * written / every_s
        writing = panes_per_s * figures["pane_us"] / 1e6
        busy = (counting + writing) / consumers
        if busy <= assumed.load_ratio or not design.is_keyed:
            break
        consumers += 1
    return Needs(
        design.name,
        mb_per_s,
        math.ceil(mb_per_s * assumed.replicas / assumed.broker_mb_per_s),
        mb_per_s * assumed.replicas * assumed.kafka_days * 86_400 / 1e6,
        consumers,
        PARTITIONS_EACH * consumers,
        panes * figures["pane_held"] / 1e6,
        every_s,
        panes_per_s,
        panes_per_s * figures["log_bytes"] / 1e6,
        writing,
        busy,
    )


def writes(
    panes: float, fits: float, events_per_s: float, interval_s: float
) -> tuple[float, float]:
    """How often one consumer writes, and how many panes each time.

    Each event touches two of its panes, `all` and a segment's; of n panes those of e events are
    n (1 - exp(-2 e / n)). When as many are touched as fit into memory, they are written.

    Examples
    --------
    >>> writes(100, 1_000, 500, 30.0) == (30.0, 100.0)
    True
    >>> every_s, written = writes(100_000, 1_000, 20_000, 30.0)
    >>> round(every_s, 3), round(written)
    (0.025, 1000)
    """
    touched = panes * -math.expm1(-2 * events_per_s * interval_s / panes)
    if touched <= fits:
        return interval_s, touched
    return -math.log1p(-fits / panes) * panes / (2 * events_per_s), fits


def table(found: list[Needs]) -> Table:
    """One column a design."""
    rows: list[tuple[str, list[Any]]] = [
        ("into Kafka, MB/s", [n.mb_per_s for n in found]),
        ("brokers", [n.brokers for n in found]),
        ("kept by Kafka, TB", [n.kafka_tb for n in found]),
        ("consumers, a core each", [n.consumers for n in found]),
        ("partitions", [n.partitions for n in found]),
        ("panes of one consumer, MB", [n.held_mb for n in found]),
        ("it writes every, s", [n.writes_every_s for n in found]),
        ("panes written a second", [n.panes_per_s for n in found]),
        ("connections of PostgreSQL always writing", [n.writing for n in found]),
        ("PostgreSQL's log, MB/s", [n.log_mb_per_s for n in found]),
        ("a consumer is busy for", [f"{100 * n.busy:.0f} % of its time" for n in found]),
    ]
    columns = ("", *(n.name for n in found))
    return Table("", columns, tuple((what, *values) for what, values in rows))


def stored(fleet: Fleet, assumed: Assumed, figures: Mapping[str, float]) -> dict[str, float]:
    """What PostgreSQL holds and what judging takes, the same for every design that is keyed."""
    features, segments = assumed.wide_judged
    # Two outputs are judged beside the features.
    share = (fleet.features + 2) * (1 + fleet.segments) / (features * segments)
    findings = fleet.models * figures["findings"] * share * 24
    panes = fleet.panes * 24
    return {
        "panes_a_day": panes,
        "panes_gb_a_day": panes * figures["pane_bytes"] / 1e9,
        "findings_a_day": findings,
        "findings_per_s": findings / 86_400,
        "findings_gb_a_day": findings * figures["finding_bytes"] / 1e9,
        "tb_after_retention": assumed.hours_days
        * (panes * figures["pane_bytes"] + findings * figures["finding_bytes"])
        / 1e12,
        "judging_cores": fleet.models * figures["judging_ms"] / 1e3 * share / 3_600,
    }


def calculate(found: Mapping[str, float]) -> dict[str, Any] | list[str]:
    """Everything of the section, or the names of the figures that are missing."""
    missing = [name for name in NEEDED.values() if name not in found]
    if missing:
        return missing
    figures = {short: found[name] for short, name in NEEDED.items()}
    fleet, assumed = Fleet(), Assumed()
    designs = [
        Design("JSON, any partition", figures["json_rate"], figures["json_bytes"], False),
        Design("JSON, keyed by model", figures["json_rate"], figures["json_bytes"], True),
        Design("Arrow, keyed by model", figures["arrow_rate"], figures["arrow_bytes"], True),
    ]
    return {
        "fleet": fleet,
        "assumed": assumed,
        "needs": [needs(design, fleet, assumed, figures) for design in designs],
        "stored": stored(fleet, assumed, figures),
    }


def lines(found: Mapping[str, float]) -> list[str]:
    """The section of the page."""
    title = ["### A fleet on paper", ""]
    made = calculate(found)
    if isinstance(made, list):
        return [*title, f"Not calculated: {', '.join(made)} were not measured."]
    fleet, assumed, held = made["fleet"], made["assumed"], made["stored"]
    loose, keyed, arrow = made["needs"]
    days = assumed.hours_days
    return [
        *title,
        f"{shown(fleet.events_per_s)} events/s of {fleet.models:,} models with {fleet.features} "
        f"features and {fleet.segments} segments each. One core's figures from above, multiplied; "
        "no such fleet was run.",
        "",
        f"Assumed, not measured: a broker takes {assumed.broker_mb_per_s:.0f} MB/s, "
        f"{assumed.replicas} replicas, {assumed.kafka_days:.0f} days kept by Kafka; a consumer is "
        f"busy for half of its time, so that it catches up; a checkpoint every "
        f"{assumed.interval_s:.0f} s, or when {assumed.held_bytes / 1e6:.0f} MB are held; two "
        "partitions a consumer.",
        "",
        *table(made["needs"]).markdown(),
        "",
        f"In SQL, keyed: {shown(held['panes_a_day'])} panes and "
        f"{shown(held['findings_a_day'])} findings a day, "
        f"{shown(held['panes_gb_a_day'])} and {shown(held['findings_gb_a_day'])} GB; kept for "
        f"{days} days that is {shown(held['tb_after_retention'])} TB. Judging takes "
        f"{shown(held['judging_cores'])} of a core; findings arrive at "
        f"{shown(held['findings_per_s'])} rows/s, in the minutes after each hour.",
        "",
        "What breaks first, in this order:",
        "",
        *first_to_break(fleet, assumed, loose, keyed, arrow, held),
    ]


def first_to_break(
    fleet: Fleet,
    assumed: Assumed,
    loose: Needs,
    keyed: Needs,
    arrow: Needs,
    held: Mapping[str, float],
) -> list[str]:
    """What is outgrown, worst first, by how many times one of it is too small."""
    terabytes = held["tb_after_retention"]
    findings_gb = held["findings_gb_a_day"]
    of_findings = ratio(findings_gb, findings_gb + held["panes_gb_a_day"])
    found = [
        (
            loose.panes_per_s / keyed.panes_per_s,
            "**Models spread over all partitions.** Every consumer then meets every model, and "
            f"every partition has a row of every pane: {shown(loose.held_mb)} MB of panes that do "
            "not fit into one consumer, which therefore writes every "
            f"{shown(loose.writes_every_s)} s; {shown(loose.panes_per_s)} panes a second "
            f"instead of {shown(keyed.panes_per_s)}. "
            "It does not work, with however many consumers. Key records by model, or give groups "
            "of models topics of their own.",
        ),
        (
            terabytes,
            f"**Findings of hours.** {shown(terabytes)} TB, of which "
            f"{100 * of_findings:.0f} % are findings: "
            f"`retention.hour_findings_days` is {assumed.hours_days} by default and "
            "should be a month here, and `retention.hours_days` with it.",
        ),
        (
            keyed.writing,
            f"**One PostgreSQL.** Keyed, {shown(keyed.writing)} connections are always writing "
            f"panes, with {shown(keyed.log_mb_per_s)} MB/s of log: within one server, with a "
            "longer checkpoint interval as the first thing to turn. Twice the fleet wants two "
            "databases, each with topics of its own.",
        ),
        (
            keyed.brokers / max(1, arrow.brokers),
            f"**Brokers and cores for JSON.** {keyed.brokers} brokers and {keyed.consumers} "
            f"consumers, against {arrow.brokers} and {arrow.consumers} where services log batches "
            "as Arrow, as `EventLogger` does (a consumer holds "
            f"{assumed.held_bytes / 1e6:.0f} MB: of Arrow there are as many as hold all panes).",
        ),
    ]  # fmt: skip
    found.sort(key=lambda item: -item[0])
    return [f"{i}. {words}" for i, (_, words) in enumerate(found, 1)]


def as_json(found: Mapping[str, float]) -> dict[str, Any]:
    """The same figures; or which are missing."""
    made = calculate(found)
    if isinstance(made, list):
        return {"missing": made}
    return {
        "fleet": asdict(made["fleet"]),
        "assumed": asdict(made["assumed"]),
        "needs": [asdict(one) for one in made["needs"]],
        "stored": made["stored"],
    }
