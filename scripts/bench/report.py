"""From figures to one Markdown and one JSON report; pure.

A part returns figures (a value of each run), tables and pictures. Everything that is compared
with something, the targets among it, is computed here and from medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# A part leaves about 2 behind on two cores; what is above comes from elsewhere.
BUSY: Final = 3.0
Cell = str | float | int | None


@dataclass(frozen=True)
class Figure:
    """What several runs measured.

    Attributes
    ----------
    unit
        What the values are in, such as ``events/s``.
    runs
        One value a run, in their order.
    """

    unit: str
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, or the mean of the middle two."""
        return statistics.median(self.runs)

    def as_json(self) -> dict[str, Any]:
        """Unit, median, and every run."""
        return {"unit": self.unit, "median": self.median, "runs": list(self.runs)}


@dataclass(frozen=True)
class Table:
    """A titled table; cells are numbers or words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> list[str]:
        """Lines, with the title before the table."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += [f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        return [*lines, *(f"| {' | '.join(map(shown, row))} |" for row in self.rows)]


@dataclass
class Part:
    """What one part of the bench found.

    Attributes
    ----------
    skipped
        Why it was not run; empty where it was.
    figures
        By name, such as ``sqlite``; the report puts the part's name before it.
    pictures
        SVG by the file's name.
    runs, load
        How often it was measured, and the machine's load of the minute before.
    """

    name: str
    title: str
    skipped: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    runs: int = 1
    load: float = 0.0

    def note_runs(self, name: str, unit: str, values: Iterable[float]) -> Figure:
        """Keep a figure and return it."""
        self.figures[name] = Figure(unit, tuple(values))
        return self.figures[name]

    def as_json(self) -> dict[str, Any]:
        """All of it; pictures as SVG by name."""
        return {
            "title": self.title,
            "skipped": self.skipped or None,
            "seconds": round(self.seconds, 1),
            "runs": self.runs,
            "load": round(self.load, 1),
            "figures": {name: figure.as_json() for name, figure in self.figures.items()},
            "tables": [
                {"title": t.title, "columns": list(t.columns), "rows": [list(r) for r in t.rows]}
                for t in self.tables
            ],
            "notes": self.notes,
            "pictures": self.pictures,
        }

    @classmethod
    def of_json(cls, name: str, said: Mapping[str, Any]) -> Part:
        """The part that `as_json` wrote."""
        return cls(
            name, said["title"], said["skipped"] or "",
            {n: Figure(f["unit"], tuple(f["runs"])) for n, f in said["figures"].items()},
            [
                Table(t["title"], tuple(t["columns"]), tuple(map(tuple, t["rows"])))
                for t in said["tables"]
            ],
            list(said["notes"]), dict(said["pictures"]), said["seconds"], said["runs"],
            said["load"],
        )  # fmt: skip


def shown(cell: Cell) -> str:
    """A cell as text: three figures or more, thousands apart.

    Examples
    --------
    >>> [shown(x) for x in (1234567.8, 12.345, 0.01234, 7, None, "as it is")]
    ['1,234,568', '12.3', '0.0123', '7', '', 'as it is']
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{round(cell, 6):.3g}"


def ratio(of: float, to: float) -> float:
    """`of / to`; 0 where there is nothing to compare with.

    Examples
    --------
    >>> ratio(3, 4), ratio(1, 0)
    (0.75, 0.0)
    """
    return of / to if to else 0.0


def medians(parts: Iterable[Part]) -> dict[str, float]:
    """Every figure's median by ``part.figure``."""
    return {
        f"{part.name}.{name}": figure.median
        for part in parts
        for name, figure in part.figures.items()
    }


# -- what is to be reached -------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """One thing to reach: a figure, and a bound that it must not be under (or over)."""

    path: str
    beside: str
    figure: str
    bound: float
    unit: str
    is_at_most: bool = False

    def judge(self, found: Mapping[str, float]) -> tuple[Cell, ...]:
        """The row of the table of targets."""
        sign = "at most" if self.is_at_most else "at least"
        reach = f"{sign} {_with_unit(self.bound, self.unit)}"
        value = found.get(self.figure)
        if value is None:
            return (self.path, self.beside, reach, "not measured", "")
        is_reached = value <= self.bound if self.is_at_most else value >= self.bound
        verdict = "reached" if is_reached else "**not reached**"
        return (self.path, self.beside, reach, _with_unit(value, self.unit), verdict)


def _with_unit(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.0f} %"
    return f"{value:.2f} times" if unit == "times" else f"{shown(float(value))} {unit}"


_KAFKA: Final = "kafka-python reading and discarding the same topic"
_CONFLUENT: Final = "confluent-kafka reading and discarding the same topic"
_ONE: Final = "one consumer"
_SENDING: Final = "kafka-python's producer alone, the same events, one a record"
_HOUR: Final = "an hour of 100 features x 20 segments judged"
_MEMORY: Final = "memory of a consumer, 10 models x 100 features x 10 segments"
GOALS: Final = (
    Goal("JSON, kafka-python, into SQLite", _KAFKA, "json.sqlite", 60_000, "events/s"),
    Goal("", "", "json.sqlite_ratio", 0.55, "%"),
    Goal("JSON, kafka-python, into PostgreSQL", _KAFKA, "json.postgresql", 60_000, "events/s"),
    Goal("", "", "json.postgresql_ratio", 0.55, "%"),
    Goal("JSON, confluent, SQLite", _CONFLUENT, "confluent.sqlite", 150_000, "events/s"),
    Goal("JSON, confluent, PostgreSQL", _CONFLUENT, "confluent.postgresql", 150_000, "events/s"),
    Goal("Arrow, 1,000 rows a record, kafka-python", _KAFKA, "arrow.sqlite", 1_000_000, "rows/s"),
    Goal("Arrow, the same, confluent", _CONFLUENT, "arrow.confluent_sqlite", 1_000_000, "rows/s"),
    Goal("2 consumers on 2 cores", _ONE, "two.ratio", 1.5, "times"),
    Goal("their processor time a record", _ONE, "two.cpu_ratio", 1.15, "times", True),
    Goal("EventLogger, one process", _SENDING, "logger.ratio", 0.8, "%"),
    Goal("what a call of it adds, median", "", "logger.added", 15, "us", True),
    Goal(_MEMORY, "", "memory.peak", 600, "MB", True),
    Goal(f"{_HOUR}, SQLite", "", "judging.sqlite", 50, "ms", True),
    Goal(f"{_HOUR}, PostgreSQL", "", "judging.postgresql", 50, "ms", True),
)


def targets(found: Mapping[str, float]) -> Table:
    """What was to be reached, what was measured, and whether that is enough."""
    return Table(
        "",
        ("path", "measured beside it", "to reach", "measured", ""),
        tuple(goal.judge(found) for goal in GOALS),
    )


# -- the report ------------------------------------------------------------------------------


def as_json(about: Mapping[str, Any], parts: Sequence[Part], paper: Any) -> dict[str, Any]:
    """The whole report as one JSON object."""
    table = targets(medians(parts))
    return {
        **about,
        "targets": [dict(zip(("path", "beside", "reach", "measured", "verdict"), row, strict=True))
                    for row in table.rows],
        "parts": {part.name: part.as_json() for part in parts},
        "fleet": paper,
    }  # fmt: skip


def about_lines(about: Mapping[str, Any]) -> list[str]:
    """Machine and versions, in sentences."""
    machine = "; ".join(f"{name} {value}" for name, value in about["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    return [
        f"Measured on {about['measured_on']} by `make bench`.",
        "",
        f"Machine: {machine}.",
        "",
        f"Versions: {versions}.",
    ]


def _runs(n: int) -> str:
    return "One run" if n == 1 else f"Medians of {n} runs"


def markdown(
    about: Mapping[str, Any],
    parts: Sequence[Part],
    paper: Sequence[str],
    picture: Callable[[str], str],
) -> list[str]:
    """The whole report as Markdown.

    Parameters
    ----------
    paper
        The lines of the fleet on paper.
    picture
        Turns a picture's name into its address.
    """
    lines = [*about_lines(about), ""]
    busiest = max((part.load for part in parts), default=0.0)
    if busiest > BUSY:
        lines += [
            f"The machine was not idle: its load was up to {busiest:.0f}. That lowers every speed "
            "and lengthens every time below; processor times and ratios suffer less.",
            "",
        ]
    lines += ["### What was to be reached", ""]
    lines += targets(medians(parts)).markdown()
    for part in parts:
        lines += ["", f"### {part.title}", ""]
        if part.skipped:
            lines += [f"Not measured: {part.skipped}."]
            continue
        lines += [line for note in part.notes for line in (note, "")]
        lines += [
            f"{_runs(part.runs)} in {part.seconds:,.0f} s; the machine's load of the minute before "
            f"was {part.load:.1f}.",
            "",
        ]
        for table in part.tables:
            lines += [*table.markdown(), ""]
        lines += [
            line
            for name in sorted(part.pictures)
            for line in (f"![{part.title}]({picture(name)})", "")
        ]
        while lines[-1] == "":
            lines.pop()
    return [*lines, "", *paper]
