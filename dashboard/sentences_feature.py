"""A feature in words: what moved, how sure that is, and what of it could not be judged. Pure.

Only what the system knows: it has no units and no meanings, so "moved up", never "warmer".
"99.9 % sure" is said only where the bound is honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.parts import Verdict
from dashboard.words import MINUS, NBSP, clock, cut, day_text, percent, plural, two, whole
from driftline.stats.calibration import MIN_ROWS, MIN_ROWS_PSI, MIN_SLICES
from driftline.stats.distance import psi_limit
from driftline.stats.evidence import DELTA
from driftline.stats.grid import CategoricalGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.words import number
from monitor.storage.rows import FeatureWindow, Incident
from monitor.views.compared import Distribution, Group, Quantile, Side
from monitor.views.series import History, Point, Series

STATISTIC = {
    "psi": "PSI",
    "ks": "KS",
    "missing": "Missing",
    "unseen": "Unseen",
    "type_error": "Wrong type",
    "out_of_range": "Out of range",
}
_A = {"hour": "an hour", "day": "a day", "week": "a week"}
_ONE = {"hour": "1\N{NO-BREAK SPACE}hour", "day": "1\N{NO-BREAK SPACE}day",
        "week": "1\N{NO-BREAK SPACE}week"}  # fmt: skip
# A group worth a sentence holds so much of the PSI.
TOLD = 0.15
NAMED = 4
UNSEEN_KEPT = 20


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


def verdict(subject: Subject) -> Verdict:
    """Return the page's answer: in plain words, then the standard sentence."""
    window, found = subject.window, subject.found
    if window is None:
        return Verdict(
            "hourglass",
            "idle",
            f"Collecting: the first verdict comes when the first {subject.length} is complete.",
            (("", "The reference is below; the page fills itself."),),
        )
    if found is None or (found["verdict"] == "insufficient_data" and not subject.over):
        return _too_few(subject)
    if found["verdict"] == "collecting":
        return Verdict(
            "hourglass",
            "idle",
            f"Collecting: what {subject.length}s of {subject.name} wobble by is being learnt.",
            ((
                "",
                f"The reference is too short to know it; the first {MIN_SLICES} complete "
                f"{subject.length}s teach it. Until then values are shown and not judged.",
            ),),
        )  # fmt: skip
    if not subject.over:
        return _blind(subject) if found["verdict"] == "blind" else _calm(subject)
    told = subject.series.statistic if subject.series.statistic in subject.over else None
    told = told or (found["evidence"] if found["evidence"] in subject.over else subject.over[0])
    critical = found["verdict"] == "critical"
    return Verdict(
        "octagon-alert" if critical else "triangle-alert",
        "crit" if critical else "warn",
        _dated(subject, headline(subject, told)),
        tuple(_evidence(subject, told)) + tuple(_also(subject, told)),
    )


def headline(subject: Subject, statistic: str) -> str:
    """Return what moved in plain words."""
    found, made = subject.found, subject.distribution
    assert found is not None
    version = cut(_version(subject), 20)
    if statistic == "psi":
        return moved(subject.name, made, version)
    value = _share(found[statistic])
    usual = getattr(made.reference, statistic) if made is not None else None
    instead = f", its reference has {_share(usual)}" if usual is not None else ""
    if statistic == "missing":
        return f"{subject.name} is missing in {value} of rows{instead}."
    if statistic == "type_error":
        return f"{subject.name} has the wrong type in {value} of rows{instead}."
    if statistic == "unseen":
        return _unseen_headline(subject, value, version)
    side = made.current if made is not None else None
    grid = subject.history.grid
    low, high = getattr(grid.grid, "low", None) if grid else None, None
    if grid is not None:
        high = getattr(grid.grid, "high", None)
    where = "outside"
    if side is not None and side.above and not side.below:
        where = "above"
    elif side is not None and side.below and not side.above:
        where = "below"
    span = (
        f", {number(low, 4)} to {number(high, 4)}" if low is not None and high is not None else ""
    )
    return f"{value} of {subject.name} lie {where} the range of its reference{span}."


def moved(name: str, made: Distribution | None, version: str) -> str:
    """Return the headline of a PSI: the median where it moved, else the part that did."""
    if made is None or not made.groups:
        return f"{name} moved."
    before, now = made.reference.median, made.current.median
    if before is not None and now is not None and _is_apart(before, now):
        way = "up" if now.value > before.value else "down"
        return (
            f"{name} moved {way}: its median is {number(now.value, 4)}, the reference of "
            f"v{version} has {number(before.value, 4)}."
        )
    group = max(made.groups, key=lambda g: g.psi_share)
    return (
        f"{name} moved: {cut(group.words, 80)} {'are' if 'values' in group.words else 'is'} now "
        f"{_share(group.current_share)} of rows instead of {_share(group.reference_share)}."
    )


def _is_apart(left: Quantile, right: Quantile) -> bool:
    return left.high < right.low or right.high < left.low


def _unseen_headline(subject: Subject, value: str, version: str) -> str:
    names = [new.value for new in _new_here(subject)]
    if not names:
        return (
            f"{value} of rows of {subject.name} have values that v{version}'s reference never saw."
        )
    some = ", ".join(cut(name, 24) for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    least = "at least " if len(names) >= UNSEEN_KEPT else ""
    return (
        f"{subject.name} has {least}{plural(len(names), 'value')} that the reference of "
        f"v{version} never saw: {value} of rows ({some}{more})."
    )


def _new_here(subject: Subject) -> list[Any]:
    """Return the unseen values that may have been in the window."""
    made, window = subject.distribution, subject.window
    if made is None or window is None:
        return []
    return [
        new
        for new in made.new_values
        if new.first_ms < window.end_ms and new.last_ms >= window.start_ms
    ]


def _version(subject: Subject) -> str:
    assert subject.window is not None
    return subject.history.version_names.get(subject.window.version_id, "?").removeprefix("v")


def _dated(subject: Subject, said: str) -> str:
    return said if subject.is_latest else f"{_on(subject)}: {said}"


def _on(subject: Subject) -> str:
    when = subject.when()
    return when[:1].upper() + when[1:]


def _evidence(subject: Subject, statistic: str) -> list[tuple[str, str]]:
    """Return the standard sentence, in (bold, plain) parts."""
    found, made = subject.found, subject.distribution
    assert found is not None
    lasting = _lasting(subject, statistic)
    if statistic != "psi":
        return [("", _rate_sentence(subject, statistic, lasting))]
    critical = found["psi_critical"] is not None and found["psi"] > found["psi_critical"]
    limit = found["psi_critical"] if critical else found["psi_limit"]
    value, line = two(found["psi"]), two(limit)
    season = f" against the reference's {made.season}s" if made and made.season else ""
    honest = made is not None and made.is_honest and found["verdict"] != "uncalibrated"
    if honest:
        delta = DELTA["critical" if critical else "warning"]
        said = (
            f"99.9{NBSP}% sure that the true PSI is above {delta:.2f} ({numbers}{season}){lasting}"
        )
    else:
        said = f"PSI {numbers}{season}{lasting}"
    groups = sorted(made.groups, key=lambda g: -g.psi_share)[:2] if made is not None else []
    groups = [group for group in groups if group.psi_share >= TOLD]
    if not groups:
        return [("", f"{said}; the change is spread over all of its values.")]
    first = groups[0]
    parts = [
        ("", f"{said}."),
        (
            f"{percent0(first.psi_share)} of it",
            f"comes from {_group(first)}, now {_share(first.current_share)} of rows instead of "
            f"{_share(first.reference_share)}{'.' if len(groups) == 1 else ';'}",
        ),
    ]
    if len(groups) > 1:
        parts.append((percent0(groups[1].psi_share), f"from {_group(groups[1])}."))
    return parts


def _group(group: Group) -> str:
    return cut(group.words, 80)


def _rate_sentence(subject: Subject, statistic: str, lasting: str) -> str:
    found = subject.found
    assert found is not None
    value, excess, limit = (
        found[statistic],
        found[f"{statistic}_excess"],
        found[f"{statistic}_limit"],
    )
    what = {
        "missing": "missing values",
        "type_error": "values of the wrong type",
        "unseen": "unseen values",
        "out_of_range": "values out of range",
    }[statistic]
    if statistic == "unseen":
        said = (
            f"99.9{NBSP}% sure that {what} are more than {percent(limit)} of rows (seen "
            f"{percent(value)}, at least {percent(excess)}){lasting}."
        )
        if (
            found["psi"] is not None
            and found["psi_limit"] is not None
            and "psi" not in subject.over
        ):
            said += (
                f" The known values have not moved (PSI {two(found['psi'])}, "
                f"limit {two(found['psi_limit'])})."
            )
        return said
    way = "fell" if excess < 0 else "rose"
    usual = "is" if points(limit) == "1 point" else "are"
    return (
        f"99.9{NBSP}% sure that {what} {way} by {points(abs(excess))} or more ({points(limit)} "
        f"{usual} usual){lasting}."
    )


def _lasting(subject: Subject, statistic: str) -> str:
    """Return " in 2 of the last 3 days", as many as it was over its limit."""
    windows = [w for w in subject.history.windows if w.found is not None]
    window = subject.window
    assert window is not None
    last = [w for w in windows if w.start_ms <= window.start_ms][-3:]
    over = sum(statistic in (w.found or {"exceeds": ""})["exceeds"].split(",") for w in last)
    point = point_at(subject.series, window.start_ms)
    stands = point is not None and point.is_alarming and subject.series.statistic == statistic
    if over < 2 and not stands:
        return f", in this {subject.length} alone; an alarm needs two of three"
    return f" in {over} of the last {len(last)} {subject.length}s"


def _also(subject: Subject, told: str) -> list[tuple[str, str]]:
    others = [STATISTIC[each] for each in subject.over if each != told]
    if not others:
        return []
    words = {"PSI": "PSI"}
    names = " and ".join(words.get(each, each.lower()) for each in others)
    return [("Also over its limit:", f"{names}.")]


def _calm(subject: Subject) -> Verdict:
    found, made = subject.found, subject.distribution
    assert found is not None
    firing = subject.firing
    point = next(
        (
            p
            for p in subject.series.points
            if subject.window and p.start_ms == subject.window.start_ms
        ),
        None,
    )
    if firing is not None and subject.is_latest:
        said = f"{subject.name} is back within its limits; its incident is still open."
        icon, tone = "rotate-cw", "warn"
    else:
        said = f"{subject.name} has not moved."
        icon, tone = "circle-check", "ok"
    notes: list[tuple[str, str]] = []
    before = made.reference.median if made is not None else None
    now = made.current.median if made is not None else None
    shown_rate = subject.series.statistic not in ("psi", "ks")
    if shown_rate and point is not None and point.value is not None:
        word = STATISTIC[subject.series.statistic]
        least = f" (at least {percent(point.low)})" if point.low else ""
        limit = f", limit {percent(point.limit)}" if point.limit is not None else ""
        notes.append(("", f"{word} {percent(point.value)}{least}{limit}."))
    if found["psi"] is not None and found["psi_limit"] is not None:
        notes.append(("", f"PSI {two(found['psi'])}, limit {two(found['psi_limit'])}."))
    if before is not None and now is not None:
        notes.append(
            (
                "",
                f"Its median is {number(now.value, 4)}, the reference has "
                f"{number(before.value, 4)}.",
            )
        )
    if made is not None and made.differs is not None:
        notes.append(
            ("", f"All of its reference is {cut(made.constant or '', 40)}; "
                 f"{percent(made.differs)} of values differ.")
        )  # fmt: skip
    if found["verdict"] == "uncalibrated":
        notes.append(("Uncalibrated:", uncalibrated_words(subject)))
    return Verdict(icon, tone, _dated(subject, said), tuple(notes))


def _blind(subject: Subject) -> Verdict:
    found = subject.found
    assert found is not None
    limit = f" ({two(found['psi_limit'])})" if found["psi_limit"] is not None else ""
    value = f" PSI {two(found['psi'])} is shown and not judged." if found["psi"] is not None else ""
    other = "Out-of-range rates" if found["out_of_range"] is not None else "Rates"
    next_length = longer(subject.history)
    lengths = f" and {next_length}s" if next_length else ""
    return Verdict(
        "eye-off",
        "idle",
        f"Blind at {_ONE[subject.length]}: PSI cannot judge {subject.name}.",
        ((
            "",
            f"The natural wobble of {subject.name} puts its limit{limit} above the largest PSI "
            f"possible.{value} {other}{lengths} judge it.",
        ),),
    )  # fmt: skip


def longer(history: History) -> str | None:
    """Return the next longer window length that the monitor has."""
    lengths = history.scope.lengths
    at = lengths.index(history.scope.length) + 1 if history.scope.length in lengths else 0
    return lengths[at] if 0 < at < len(lengths) else None


def _too_few(subject: Subject) -> Verdict:
    window = subject.window
    assert window is not None
    n = window.rows if subject.found is None else int(subject.found["n"])
    next_length = longer(subject.history)
    if window.rows and not n:
        return Verdict(
            "circle-dashed", "idle", _dated(subject, f"All of {subject.name} is missing."),
            (("", f"{plural(window.rows, 'row')}, none with a value: nothing can be compared."),),
        )  # fmt: skip
    notes = [("", f"{plural(n, 'row')}, {MIN_ROWS_PSI} are needed for PSI, "
                  f"{MIN_ROWS['missing']} for rates.")]  # fmt: skip
    shift = smallest_shift(subject.history, n)
    if shift is not None:
        notes.append(("", f"Only a shift above {shift:.1f} sigma could have been seen."))
    if next_length:
        notes.append(("", f"The {subject.length} counts in its {next_length}."))
    return Verdict("circle-dashed", "idle", f"{_on(subject)}: too few rows for a verdict.",
                   tuple(notes))  # fmt: skip


def smallest_shift(history: History, n: int) -> float | None:
    """Return the shift in standard deviations that n rows could show at best: PSI is its square."""
    grid, scope = history.grid, history.scope
    if grid is None or grid.kind != "numeric" or grid.n_groups < 2 or n < 2 or not scope.reference:
        return None
    limit = float(psi_limit(1 / n + 1 / scope.reference.rows, grid.n_groups - 1, DELTA["warning"]))
    return sqrt(limit)


def uncalibrated_words(subject: Subject) -> str:
    """Return what it means that a length's limits know no wobble."""
    own = sum(
        1 for w in subject.history.windows if w.version_id == subject.history.scope.version.id
    )
    collected = (
        f" {min(own, MIN_SLICES)} of {MIN_SLICES} windows collected;" if own < MIN_SLICES else ""
    )
    return (
        "the reference has no times, so limits do not know its natural wobble yet."
        f"{collected} warnings only until then."
    )


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
            ("file-warning", f"{plural(lost, subject.length)} of the range lack records (hatched).")
        )
    few = [p for p in subject.series.points if p.value is None]
    if few and len(few) < len(subject.series.points):
        said.append(
            (
                "circle-dashed",
                f"{plural(len(few), subject.length)} without a value of "
                f"{STATISTIC[subject.series.statistic]}: too few rows, or none with a value.",
            )
        )
    if subject.series.beside:
        names = ", ".join(f"v{cut(name.removeprefix('v'), 20)}" for name in subject.series.beside)
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
    what = {"hour": "its end", "day": "midnight", "week": "Sunday's midnight"}[length]
    the = "The" if length == "week" else "The window of"
    return (
        f"{the} {when} is {percent0(share)} full; it closes at {clock(closes_ms)} of event time, "
        f"{late:.0f}{NBSP}minutes after {what}.",
        share,
    )


def chart_words(subject: Subject) -> str:
    """Return a chart's verdict: what its picture says."""
    series = subject.series
    points = [p for p in series.points if p.value is not None]
    word = STATISTIC[series.statistic]
    head = f"{word} of {subject.name}, one value {_A[subject.length]}"
    if not points:
        return f"{head}: no window has a value."
    last = points[-1]
    limit = f", limit {_value(series.statistic, last.limit)}" if last.limit is not None else ""
    over = sum(p.is_over for p in points)
    alarms = sum(p.is_over and p.is_alarming for p in points)
    return (
        f"{head}: {_value(series.statistic, last.value or 0.0)} in the last one{limit}; over its "
        f"limit in {over} of {len(points)}, alarming in {alarms} of them."
    )


def chart_title(series: Series, length: str, *, one_version: bool) -> str:
    """Return the title of the chart."""
    against = "its reference" if one_version else "the reference of its version"
    each = _A[length]
    return {
        "psi": f"PSI {each} against {against}",
        "ks": f"KS {each} against {against}, certified interval",
        "missing": f"Missing values, share of rows {each}",
        "unseen": f"Unseen values, share of rows {each}",
        "type_error": f"Values of the wrong type, share of rows {each}",
        "out_of_range": f"Values outside the reference's range, share {each}",
    }[series.statistic]


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


def percent0(share: float) -> str:
    r"""Return a whole percentage; what is there and below one is said to be.

    >>> percent0(0.43), percent0(0.004)
    ('43\xa0%', '<\xa01\xa0%')
    """
    if 0 < share < 0.005:
        return f"<{NBSP}1{NBSP}%"
    return f"{100 * share:.0f}{NBSP}%"


def _share(share: float) -> str:
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
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def change(before: float, now: float) -> str:
    """Return a change of a value, with as many digits as the values have."""
    size = max(abs(before), abs(now))
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 4
    return signed(now - before, digits)


def _value(statistic: str, value: float | None) -> str:
    if value is None:
        return ""
    return two(value) if statistic in ("psi", "ks") else percent(value)


def closed_words(window: FeatureWindow) -> str:
    """Return which revision a window is in, and what closed it."""
    by = {"watermark": "watermark", "idle": "an idle stream", "hold": "a held partition"}
    return f"revision {window.revision}, closed by {by.get(window.closed_by, window.closed_by)}"


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
