"""What a run of chaos did and what became of the records, in a line, for JSON and for the docs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "guarantees.md"
NAMES: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
# Each client has its tables: `make chaos` of one leaves those of the other.
BEGIN, END = "<!-- measured {}: begin -->", "<!-- measured {}: end -->"


@dataclass
class Report:
    """What happened and what became of the records.

    Attributes
    ----------
    faults
        By kind, as "dies after sql COMMIT" or "broker restarted".
    lost, doubled
        Records missing in the counters, and counted more than once.
    wrong
        What differs between the database and the offline count, a line each.
    crashed
        What members ended with that nobody had done to them.
    """

    broker: str
    database: str
    seed: int
    control: str
    records: int = 0
    lost: int = 0
    doubled: int = 0
    fenced: int = 0
    checkpoints: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)

    @property
    def zombies(self) -> int:
        """How often a member slept beyond its session and woke up."""
        return sum(n for how, n in self.faults.items() if how.startswith("stops"))

    def line(self) -> str:
        """Return it in one line."""
        control = f" without a guard ({self.control})" if self.control else ""
        return (
            f"{self.broker} + {self.database}{control}, seed {self.seed}: "
            f"{self.faults.total()} faults ({self.zombies} zombies), {self.records:,} records, "
            f"{self.lost} lost, {self.doubled} doubled, {self.fenced} fenced, "
            f"{self.seconds:.0f} s"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"faults": dict(self.faults.most_common()), "zombies": self.zombies}


def to_markdown(reports: Sequence[Report], day: str) -> str:
    """Return the tables of the docs: a row for each run, and the faults of all by kind."""
    lines = [
        f"Measured on {day} by `make chaos`, seed {reports[0].seed}.",
        "",
        "| broker + database | guard | faults | of them sleepers | records | lost | doubled "
        "| fenced | seconds |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for report in reports:
        guard = f"**off** ({report.control})" if report.control else "on"
        lines.append(
            f"| {report.broker} + {NAMES[report.database]} | {guard} | {report.faults.total():,} "
            f"| {report.zombies:,} | {report.records:,} | {report.lost:,} | {report.doubled:,} "
            f"| {report.fenced:,} | {report.seconds:,.0f} |"
        )
    together: Counter[str] = Counter()
    for report in reports:
        if not report.control:
            together.update(report.faults)
    return "\n".join([*lines, "", *_by_place(together)])


# What is done at a call of a member, by the words with which its faults begin.
DEEDS: Final = ("dies", "stops", "fails", "is cut off")
PLACES: Final = {
    "poll": "poll",
    "decode": "decode",
    "sql COMMIT": "COMMIT",
    "commit": "the commit to Kafka",
    "sql": "other statements",
}


def _by_place(faults: Counter[str]) -> list[str]:
    """Return the faults of the runs with a guard: at which call which was done, and to all."""
    at: Counter[tuple[str, str]] = Counter()
    acts: Counter[str] = Counter()
    for fault, n in faults.items():
        deed = next((deed for deed in DEEDS if fault.startswith(f"{deed} ")), None)
        if deed is None:
            acts[fault] += n
            continue
        # A word says when: before, after, during.
        place = fault.removeprefix(f"{deed} ").partition(" ")[2]
        known = place if place in PLACES else place.split()[0]
        at[PLACES.get(known, "other calls of the broker"), deed] += n
    names = [*PLACES.values(), "other calls of the broker"]
    lines = [
        "| before or after | " + " | ".join(DEEDS) + " |",
        "|---|" + "---:|" * len(DEEDS),
        *(
            f"| {name} | " + " | ".join(str(at[name, deed] or "") for deed in DEEDS) + " |"
            for name in names
        ),
    ]
    said = ", ".join(f"{act} {n} times" for act, n in acts.most_common())
    return [*lines, "", f"And to all of them: {said}."] if said else lines


def put_into_docs(reports: Sequence[Report], client: str, page: Path = PAGE) -> None:
    """Put the tables between the marks that the page has for this client."""
    begin, end = BEGIN.format(client), END.format(client)
    before, begins, rest = page.read_text().partition(begin)
    _, ends, after = rest.partition(end)
    assert begins and ends, f"{page} has no place for the tables of {client}"
    day = datetime.now(UTC).date().isoformat()
    page.write_text(f"{before}{begin}\n\n{to_markdown(reports, day)}\n\n{end}{after}")
