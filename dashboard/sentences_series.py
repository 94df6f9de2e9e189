"""A feature's windows, sides and charts in words: what each shows, and what it lacks. Pure.

The verdict over them is `sentences_feature`'s; both have no units and no meanings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.sentences_incidents import version_tag
from dashboard.statistics import DRAWN
from dashboard.statistics import value_words as value_words
from dashboard.words import MINUS, NBSP, clock, cut, day_text, percent, plural, two, whole
from driftline.stats.grid import CategoricalGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.lengths import WORDS, in_words
from driftline.stats.names import NAMES
from driftline.stats.rule import FixedLimit, Rule
from driftline.stats.words import number
from monitor.detect.spec import MonitorSpec
from monitor.storage.rows import FeatureWindow, Incident
from monitor.views.compared import Distribution, Side
from monitor.views.history import History, fixed_in
from monitor.views.series import Point, Series
from monitor.views.statistics import is_learnt

EACH = {"hour": "an hour", "day": "a day", "week": "a week", "4weeks": "every 28 days"}
# A group worth a sentence holds so much of the PSI.
TOLD = 0.15


@dataclass(frozen=True)
class Subject:
    """What a sentence speaks of: the feature, a chosen window, and what is known of it.

    `distribution` is that of the window against its own reference.
    """

    history: History
    series: Series
    window: FeatureWindow | None
    distribution: Distribution | None
    is_latest: bool
    zone: ZoneInfo
    year: int | None

    @property
    def name(self) -> str:
        return cut(self.history.feature, 60)

    @property
    def length(self) -> str:
        return self.history.scope.length

    @property
    def found(self) -> dict[str, Any] | None:
        return None if self.window is None else self.window.found

    @property
    def over(self) -> tuple[str, ...]:
        """Return the statistics over their limit in the window."""
        found = self.found
        return () if found is None else tuple(each for each in found["exceeds"].split(",") if each)

    @property
    def firing(self) -> Incident | None:
        """Return the newest incident that was open at the window, if there is one."""
        window = self.window
        if window is None:
            return None
        return next(
            (
                incident
                for incident in self.history.incidents
                for start, end in incident.spans()
                if start < window.end_ms and (end is None or window.end_ms < end)
            ),
            None,
        )

    @property
    def rule(self) -> Rule:
        """Return what the window was judged by."""
        revision = 0 if self.window is None else self.window.monitor_revision
        return self.history.scope.specs.get(revision, MonitorSpec()).rule()

    def fixed(self, statistic: str) -> FixedLimit | None:
        """Return the fixed limit that the window's statistic was held against."""
        return None if self.window is None else fixed_in(self.history, self.window, statistic)

    @property
    def one(self) -> str:
        """Return what a window is called."""
        return WORDS[self.length][0]

    @property
    def many(self) -> str:
        """Return what windows are called."""
        return WORDS[self.length][1]

    def when(self) -> str:
        """Return the window in words."""
        assert self.window is not None
        return window_words(self.window.start_ms, self.length, self.zone, self.year)


def window_words(start_ms: int, length: str, zone: ZoneInfo, year: int | None = None) -> str:
    r"""Return a window by its date in its model's zone, with the year where it is not `year`.

    >>> window_words(1368590400000, "day", ZoneInfo("America/New_York"), 2013)
    '15\xa0May'
    """
    local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(zone)
    day = day_text(local.date(), year=year)
    if length == "hour":
        return f"{day}, {local:%H:%M}"
    if length == "4weeks":
        return f"28{NBSP}days from {day}"
    return f"week of {day}" if length == "week" else day


def kind_words(grid: FeatureGrid | None) -> str:
    """Return what a feature is: numeric, a category with so many values, a boolean."""
    if grid is None or grid.kind == "presence":
        return "presence only"
    values = grid.grid
    if not isinstance(values, CategoricalGrid):
        return "numeric"
    if values.is_hashed:
        return f"category, {len(values.hashes):,} values"
    known = {*values.levels, *values.rare}
    if known and known <= {"true", "false"}:
        return "boolean"
    return f"category, {plural(len(known), 'value')}"


def longer(history: History) -> str | None:
    """Return the next longer window length that the monitor has."""
    lengths = history.scope.lengths
    at = lengths.index(history.scope.length) + 1 if history.scope.length in lengths else 0
    return lengths[at] if 0 < at < len(lengths) else None


def states(subject: Subject) -> list[tuple[str, str]]:
    """Return what is missing from, or special about, what is shown: (icon, sentence)."""
    said: list[tuple[str, str]] = []
    window = subject.window
    if window is not None:
        said += [("file-warning", cause_words(cause)) for cause in window.incomplete]
        if window.revision > 1:
            said.append(("history", f"Late events came: judged again, revision {window.revision}."))
    lost = sum(1 for w in subject.history.windows if w.incomplete)
    if lost and (window is None or not window.incomplete or lost > 1):
        said.append(
            (
                "file-warning",
                f"{in_words(lost, subject.length)} of the range {'lacks' if lost == 1 else 'lack'} "
                "records (hatched).",
            )
        )
    few = [p for p in subject.series.points if p.value is None]
    if few and len(few) < len(subject.series.points):
        said.append(
            (
                "circle-dashed",
                f"{in_words(len(few), subject.length)} without a value of "
                f"{NAMES[subject.series.statistic].label}: too few rows, or none with a value.",
            )
        )
    said += limit_words(subject)
    if subject.series.beside:
        names = ", ".join(cut(version_tag(name), 20) for name in subject.series.beside)
        said.append(
            ("git-branch", f"{names} ran at the same time: choose it under Version to see it.")
        )
    if subject.series.is_thinned:
        said.append(
            (
                "history",
                f"{whole(subject.series.n_windows)} windows: of each pixel's the lowest, the "
                "highest and the alarming ones are drawn.",
            )
        )
    return said


def limit_words(subject: Subject) -> list[tuple[str, str]]:
    """Return what the chart does not draw: an interval, a limit; and a limit that somebody set."""
    series, window = subject.series, subject.window
    points = [point for point in series.points if point.value is not None]
    name = series.statistic
    if not points or window is None or name == "psi":
        return []
    said = []
    fixed = fixed_in(subject.history, window, name)
    if fixed is not None:
        who = "every feature" if fixed.feature == "*" else "this feature"
        value = value_words(name, fixed.warning)
        more = (
            ""
            if fixed.critical is None
            else f", critical above {value_words(name, fixed.critical)}"
        )
        said.append(("siren", f"A fixed limit of {who}: a warning above {value}{more}."))
    elif not is_learnt(name):
        said.append(
            (
                "circle-dashed",
                f"{NAMES[name].label} is shown and not judged: PSI and the rates are. "
                "A fixed limit would judge it.",
            )
        )
    if not any(point.low is not None for point in points):
        said.append(("circle-dashed", "No interval of it is known."))
    return said


def cause_words(cause: str) -> str:
    """Return in a sentence why a window is incomplete.

    >>> cause_words("hold: partition 4")
    'Closed without partition 4, which was behind: incomplete, starts no retraining.'
    """
    kind, _, rest = cause.partition(": ")
    where = cut(rest, 80)
    if kind == "hold":
        return f"Closed without {where}, which was behind: incomplete, starts no retraining."
    if kind in ("retention", "truncation", "recreated"):
        return f"Records of {where} were lost by {kind}: incomplete."
    return f"Incomplete: {cut(cause, 120)}."


def partial_words(
    start_ms: int,
    end_ms: int,
    closes_ms: int,
    watermark_ms: int,
    length: str,
    zone: ZoneInfo,
    year: int | None,
) -> tuple[str, float]:
    """Return what is known of the window that is still being filled, and how full it is."""
    share = min(1.0, max(0.0, (watermark_ms - start_ms) / max(end_ms - start_ms, 1)))
    when = window_words(start_ms, length, zone, year)
    late = timedelta(milliseconds=closes_ms - end_ms).total_seconds() / 60
    midnight = {"hour": "its end", "day": "midnight"}
    what = midnight.get(length, "Sunday's midnight")
    the = "The" if length in ("week", "4weeks") else "The window of"
    return (
        f"{the} {when} is {percent0(share)} full; it closes at {clock(closes_ms)} of event time, "
        f"{late:.0f}{NBSP}minutes after {what}.",
        share,
    )


def chart_words(subject: Subject) -> str:
    """Return a chart's verdict: what its picture says."""
    series = subject.series
    points = [p for p in series.points if p.value is not None]
    word = NAMES[series.statistic].label
    head = f"{word} of {subject.name}, one value {EACH[subject.length]}"
    if not points:
        return f"{head}: no window has a value."
    last = points[-1]
    limit = f", limit {value_words(series.statistic, last.limit)}" if last.limit is not None else ""
    over = sum(p.is_over for p in points)
    alarms = sum(p.is_over and p.is_alarming for p in points)
    return (
        f"{head}: {value_words(series.statistic, last.value or 0.0)} in the last one{limit}; over "
        f"its limit in {over} of {len(points)}, alarming in {alarms} of them."
    )


def chart_title(series: Series, length: str, *, one_version: bool) -> str:
    """Return the title of the chart."""
    against = "its reference" if one_version else "the reference of its version"
    return DRAWN[series.statistic].title.format(each=EACH[length], against=against)


def part_words(made: Distribution) -> str:
    """Return the verdict of the chart of which part moved."""
    if made.is_empty:
        return f"{cut(made.feature)}: no value in this window."
    if not made.groups:
        return f"{cut(made.feature)}: the reference has no groups to compare."
    group = max(made.groups, key=lambda g: g.psi_share)
    median = ""
    if made.current.median is not None and made.reference.median is not None:
        median = (
            f"median {number(made.current.median.value, 4)} against "
            f"{number(made.reference.median.value, 4)}; "
        )
    return (
        f"{cut(made.feature)}: {median}{percent0(group.psi_share)} of a PSI of "
        f"{two(made.psi or 0.0)} comes from {cut(group.words, 80)}."
    )


def apart(left: float, right: float) -> tuple[str, str]:
    """Return two statistics with as many digits as tell them apart.

    >>> apart(0.388, 0.391), apart(0.31, 0.14)
    (('0.388', '0.391'), ('0.31', '0.14'))
    """
    if two(left) == two(right) and left != right:
        return f"{left:.3f}", f"{right:.3f}"
    return two(left), two(right)


def percent0(share: float) -> str:
    r"""Return a whole percentage; what is there and below one is said to be.

    >>> percent0(0.43), percent0(0.004)
    ('43\xa0%', '<\xa01\xa0%')
    """
    if 0 < share < 0.005:
        return f"<{NBSP}1{NBSP}%"
    return f"{100 * share:.0f}{NBSP}%"


def share_words(share: float) -> str:
    """Return a share of rows: whole from ten up, a decimal below."""
    return percent0(share) if share >= 0.0995 or share == 0 else percent(share)


def points(share: float) -> str:
    """Return a difference of shares.

    >>> points(0.042)
    '4.2 points'
    """
    text = f"{100 * share:.1f}".removesuffix(".0")
    return f"{text} point" if text == "1" else f"{text} points"


def signed(value: float, digits: int = 1) -> str:
    """Return a change with its sign.

    >>> signed(8.94), signed(-1.0), signed(0.01)
    ('+8.9', '−1.0', '0.0')
    """
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return "0.0" if digits else "0"
    return f"{'+' if value > 0 else MINUS}{text}"


def change(before: float, now: float) -> str:
    """Return a change of a value, with as many digits as the values have."""
    size = max(abs(before), abs(now))
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 4
    return signed(now - before, digits)


def number_rows(side: Side, other: Side) -> Sequence[tuple[str, str, str, str]]:
    """Return (measure, reference, window, change) of everything that has a number."""
    rows: list[tuple[str, str, str, str]] = [("Rows", whole(other.rows), whole(side.rows), "")]
    if side.values != side.rows or other.values != other.rows:
        rows.append(("Values", whole(other.values), whole(side.values), ""))
    if other.mean is not None and side.mean is not None:
        rows.append(
            ("Mean", number(other.mean, 4), number(side.mean, 4), change(other.mean, side.mean))
        )
    if other.median is not None and side.median is not None:
        rows.append(
            (
                "Median",
                number(other.median.value, 4),
                number(side.median.value, 4),
                change(other.median.value, side.median.value),
            )
        )
    if other.p5 and other.p95 and side.p5 and side.p95:
        rows.append(
            (
                f"5{NBSP}%\N{THIN SPACE}–\N{THIN SPACE}95{NBSP}%",
                f"{number(other.p5.value, 4)} – {number(other.p95.value, 4)}",
                f"{number(side.p5.value, 4)} – {number(side.p95.value, 4)}",
                "",
            )
        )
    if (
        side.low is not None
        and side.high is not None
        and other.low is not None
        and other.high is not None
    ):
        rows.append(
            (
                "Min – max",
                f"{number(other.low, 4)} – {number(other.high, 4)}",
                f"{number(side.low, 4)} – {number(side.high, 4)}",
                "",
            )
        )
    for name, key in (
        ("Missing", "missing"),
        ("Out of range", "out_of_range"),
        ("Unseen values", "unseen"),
        ("Wrong type", "type_error"),
    ):
        before, now = getattr(other, key), getattr(side, key)
        if before is None and now is None:
            continue
        rows.append(
            (
                name,
                "" if before is None else percent(before),
                "" if now is None else percent(now),
                signed(100 * (now - before)) if None not in (before, now) else "",
            )
        )
    if side.infinite or other.infinite:
        rows.append(("Infinite", whole(other.infinite), whole(side.infinite), ""))
    return rows


def point_at(series: Series, start_ms: int) -> Point | None:
    """Return the point of a window."""
    return next((p for p in series.points if p.start_ms == start_ms), None)
