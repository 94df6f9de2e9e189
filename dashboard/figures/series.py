"""A statistic through time: its line, its bound, its limit as it moves, its alarms.

Pure. All windows of all versions are one trace of each kind, broken by gaps: a line over a
change of version would say that the two are comparable. The frame around the chosen window
is not drawn here but laid over the chart by the page, so that choosing redraws nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from dashboard.figures.factory import DAY_MS, Figure, axis, template, typed
from dashboard.sentences_incidents import version_tag
from dashboard.statistics import ROOT, is_share, is_signed
from dashboard.tokens import TOKENS, Scheme
from dashboard.words import cut, day_text, escaped, zone_name
from driftline.stats.names import NAMES
from monitor.views.series import Point, Series

HEIGHT, SMALL_HEIGHT = 206, 76
# The page lays its frame over the plot by the same margins.
MARGIN = {"l": 44, "r": 84, "t": 16, "b": 24}
NARROW_MARGIN = {"l": 38, "r": 10, "t": 16, "b": 24}
# Windows in a chart: the band has two points of each.
MAX_WINDOWS = 700
SMALL_POINTS = 180
ROOT_TICKS = (0, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32)
# A root axis needs about this share of its height between two labels.
_TICK_ROOM = 0.09
# Further breaks are drawn without words, further hatches not at all.
_MAX_BREAKS = 8
_MAX_HATCHES = 200
_TICK_PX = 88
WEEK_MS = 7 * DAY_MS
# Labels keep clear of the corners.
_EDGE = 0.018
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """The time axis: local wall time of the model, as epoch milliseconds."""

    from_ms: float
    to_ms: float

    def place(self, start_ms: float, end_ms: float) -> tuple[float, float]:
        """Return where a span begins, and how wide it is, as shares of the axis."""
        width = max(self.to_ms - self.from_ms, 1.0)
        left = min(1.0, max(0.0, (start_ms - self.from_ms) / width))
        right = min(1.0, max(0.0, (end_ms - self.from_ms) / width))
        return left, max(0.0, right - left)


def local_ms(ms: float, zone: ZoneInfo) -> float:
    """Return an instant as the wall clock of `zone` shows it, as if that were UTC.

    >>> local_ms(1360368000000, ZoneInfo("America/New_York")) - 1360368000000
    -18000000.0
    """
    offset = datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone).utcoffset()
    return ms + (offset or timedelta()).total_seconds() * 1000


def all_local_ms(instants: Sequence[float] | NDArray[Any], zone: ZoneInfo) -> Floats:
    """Return many instants in order of time as the wall clock of `zone` shows them.

    Asks for the offset at both ends, and between them only where it changes: a year of hours
    has three offsets.

    >>> all_local_ms([0.0, 1360368000000.0], ZoneInfo("America/New_York")).tolist()
    [-18000000.0, 1360350000000.0]
    """
    ms = np.asarray(instants, dtype=np.float64)
    shown = np.empty_like(ms)

    def fill(low: int, high: int) -> None:
        """Fill `[low, high)`, halved until both ends have the offset of less than a week."""
        first, last = local_ms(float(ms[low]), zone), local_ms(float(ms[high - 1]), zone)
        offset = first - ms[low]
        is_short = ms[high - 1] - ms[low] < WEEK_MS
        if high - low <= 2:
            shown[low], shown[high - 1] = first, last
        elif is_short and offset == last - ms[high - 1]:
            shown[low:high] = ms[low:high] + offset
        else:
            middle = (low + high) // 2
            fill(low, middle)
            fill(middle, high)

    if ms.size:
        fill(0, ms.size)
    return shown


def axis_of(from_ms: int, to_ms: int, zone: ZoneInfo) -> Axis:
    """Return the axis of a range."""
    return Axis(local_ms(from_ms, zone), local_ms(to_ms, zone))


def series(
    found: Series,
    at: Axis,
    zone: ZoneInfo,
    scheme: Scheme,
    *,
    is_root: bool,
    is_narrow: bool,
) -> Figure:
    """Return the chart of a statistic."""
    c = TOKENS[scheme]
    rate = is_share(found.statistic)
    is_root = is_root and found.statistic in ROOT
    scale = 100.0 if rate else 1.0

    def up(values: Floats) -> Floats:
        return _up(values, is_root=is_root, scale=scale)

    rows, breaks = _rows(found, zone)
    x, value, low, high, limit = (rows[:, i] for i in range(5))
    bottom, top = _span(found)
    custom = np.column_stack([value * scale, rows[:, 5], rows[:, 6]])
    line = c["line"] if found.is_blind else c["cur"]
    word, suffix = NAMES[found.statistic].label, "\N{NO-BREAK SPACE}%" if rate else ""
    shown = ".1f" if rate else ".4~g" if found.statistic in ("mean", "sd") else ".2~f"
    data: list[Figure] = [
        _band(x, up(low), up(high), c["band"]),
        {
            "type": "scatter", "mode": "lines", "x": typed(x), "y": typed(up(limit)),
            "line": {"color": c["text"], "width": 1.5, "dash": "4px,3px", "shape": "hvh"},
            "customdata": typed(limit * scale), "connectgaps": False, "name": "limit",
            "hovertemplate": f"limit %{{customdata:{shown}}}{suffix}<extra></extra>",
        },
        {
            "type": "scatter", "mode": "lines+markers" if len(x) < 3 else "lines",
            "x": typed(x), "y": typed(up(value)), "line": {"color": line, "width": 1.75},
            "marker": {"size": 5}, "customdata": typed(custom), "connectgaps": False, "name": word,
            "hovertemplate": (
                f"<b>{word} %{{customdata[0]:{shown}}}{suffix}</b>"
                "<br>%{customdata[1]:,} rows<extra></extra>"
            ),
        },
    ]  # fmt: skip
    flags = rows[:, 7]
    y = up(value)
    for name, flag, color in (("alarm", 2, line), ("over once", 1, c["surface"])):
        data.append(
            {
                "type": "scatter", "mode": "markers", "x": typed(x[flags == flag]),
                "y": typed(y[flags == flag]), "hoverinfo": "skip", "name": name,
                "marker": {
                    "symbol": "triangle-up", "size": 7.5, "color": color,
                    "line": {"color": line, "width": 1.25},
                },
                "cliponaxis": False,
            }
        )  # fmt: skip
    # A window between two gaps is no line: it is a dot.
    bare = np.concatenate([[np.nan], value, [np.nan]])
    alone = ~np.isnan(value) & np.isnan(bare[:-2]) & np.isnan(bare[2:])
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": typed(x[alone]),
            "y": typed(y[alone]),
            "marker": {"size": 4, "color": line},
            "hoverinfo": "skip",
            "name": "alone",
        }
    )
    unknown = np.isnan(value) & (rows[:, 6] > 0)
    data.append(
        {
            "type": "scatter", "mode": "markers", "x": typed(x[unknown]),
            "y": typed(np.full(int(unknown.sum()), bottom * scale)),
            "customdata": typed(custom[unknown]),
            "marker": {"symbol": "circle-open", "size": 5, "color": c["line"]},
            "hovertemplate": f"no {word}, %{{customdata[1]:,}} rows<extra></extra>",
            "name": "no verdict", "cliponaxis": False,
        }
    )  # fmt: skip
    data += _hatch(found, zone, (bottom * scale, up(np.array([top]))[0]), c["line"])
    margin = NARROW_MARGIN if is_narrow else MARGIN
    shapes, notes = _breaks(breaks, scheme)
    if not is_narrow:
        notes.append(
            {
                "text": escaped(zone_name(zone)),
                "xref": "paper",
                "x": 1,
                "xanchor": "left",
                "xshift": 8,
                "yref": "paper",
                "y": 0,
                "yanchor": "top",
                "yshift": -3,
                "showarrow": False,
                "font": {"size": 11, "color": c["text3"]},
            }
        )
    ticks: Figure = {"ticksuffix": suffix, "nticks": 6}
    if is_root:
        marks = _root_ticks(top)
        ticks = {"tickvals": [m**0.5 for m in marks], "ticktext": [f"{m:g}" for m in marks]}
    return {
        "data": data,
        "layout": {
            **template(scheme),
            "height": HEIGHT,
            "margin": {**margin, "pad": 0},
            "hovermode": "x unified",
            "xaxis": {**time_axis(at, scheme, 330 if is_narrow else 1000), "showspikes": False},
            "yaxis": axis(
                scheme, range=[bottom * scale, float(up(np.array([top]))[0])], showgrid=True,
                zeroline=False, **ticks,
            ),
            "shapes": shapes,
            "annotations": notes,
        },
    }  # fmt: skip


def level_of(found: Series, *, is_root: bool) -> Callable[[float], float]:
    """Return how high a value stands in the chart, as a share of its plot."""
    is_root = is_root and found.statistic in ROOT
    bottom, top = _span(found)

    def level(value: float) -> float:
        share = min(1.0, max(0.0, (value - bottom) / (top - bottom)))
        return share**0.5 if is_root else share

    return level


def _span(found: Series) -> tuple[float, float]:
    """Return the values at the chart's lower and upper edge; all but signed ones begin at 0."""
    told = [
        p
        for point in found.points
        for p in (point.value, point.low, point.high, point.limit)
        if p is not None
    ]
    most = max(told, default=0.0)
    if not is_signed(found.statistic):
        return 0.0, max(most * 1.12, 0.02 if is_share(found.statistic) else 0.1)
    least = min(told, default=0.0)
    if found.statistic == "mean_shift":
        least, most = min(least, -0.1), max(most, 0.1)
    room = 0.12 * (most - least) or 0.05 * abs(most) or 1.0
    return least - room, most + room


def _up(values: Floats, *, is_root: bool, scale: float) -> Floats:
    return np.asarray(np.sqrt(values) if is_root else values * scale, dtype=np.float64)


def small(windows: Floats, at: Axis, scheme: Scheme) -> Figure:
    """Return missing rate and rows over the range, side by side.

    `windows` is [n, 3]: middle of the window, share missing (NaN = not known), rows. Of more
    windows than pixels each pixel has its highest rate and its mean rows.
    """
    c = TOKENS[scheme]
    parts = np.array_split(windows, min(len(windows), SMALL_POINTS)) if len(windows) else []
    x = np.array([part[:, 0].mean() for part in parts])
    rate = np.array([100 * np.fmax.reduce(part[:, 1]) for part in parts])
    rows = np.array([part[:, 2].mean() for part in parts])
    most = float(np.nanmax(rate, initial=0.0))
    ticks = time_axis(at, scheme, 210)
    percent_sign = "\N{NO-BREAK SPACE}%"
    return {
        "data": [
            {
                "type": "scatter", "mode": "lines", "x": typed(x), "y": typed(rate),
                "line": {"color": c["cur"], "width": 1.5}, "connectgaps": False,
                "hovertemplate": f"%{{y:.1f}}{percent_sign} missing<extra></extra>",
            },
            {
                "type": "bar", "x": typed(x), "y": typed(rows), "xaxis": "x2", "yaxis": "y2",
                "marker": {"color": c["ref"], "opacity": 0.8, "line": {"width": 0}},
                "hovertemplate": "%{y:,.0f} rows<extra></extra>",
            },
        ],
        "layout": {
            **template(scheme),
            "height": SMALL_HEIGHT,
            "margin": {"l": 0, "r": 4, "t": 4, "b": 18, "pad": 0},
            "bargap": 0.05,
            "hovermode": "x",
            "xaxis": {**ticks, "domain": [0.1, 0.46], "anchor": "y"},
            "xaxis2": {**ticks, "domain": [0.64, 1], "anchor": "y2"},
            "yaxis": axis(
                scheme, range=[0, max(most * 1.1, 4.0)], nticks=3, showgrid=True,
                ticksuffix=percent_sign,
            ),
            "yaxis2": axis(
                scheme, range=[0, float(np.nanmax(rows, initial=1.0)) * 1.05], nticks=3,
                showgrid=True, anchor="x2", tickformat="~s",
            ),
        },
    }  # fmt: skip


def time_axis(at: Axis, scheme: Scheme, width_px: int) -> Figure:
    """Return a time axis with labels that have room."""
    marks = time_ticks(at, width_px)
    return axis(
        scheme,
        type="date",
        range=[at.from_ms, at.to_ms],
        tickvals=[ms for ms, _ in marks],
        ticktext=[words for _, words in marks],
        # Every label has its room, and is kept from the edges: Plotly need not measure them.
        tickangle=0,
        ticklabeloverflow="allow",
        unifiedhovertitle={"text": "<b>%{x|%a %-d %b %Y}</b>"},
        hoverformat="%a %-d %b %Y"
        if at.to_ms - at.from_ms > 16 * DAY_MS
        else "%a %-d %b %Y, %H:%M",
    )


def time_ticks(at: Axis, width_px: int) -> list[tuple[float, str]]:
    """Return labelled instants: hours in a short range, days, Mondays, firsts of months."""
    room = max(1, width_px // _TICK_PX)
    edge = (at.to_ms - at.from_ms) * _EDGE
    low, high = at.from_ms + edge, at.to_ms - edge
    first = datetime.fromtimestamp(at.from_ms / 1000, UTC)
    last = datetime.fromtimestamp(at.to_ms / 1000, UTC)
    span = last - first
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    year = None if first.year != last.year else first.year
    if span <= timedelta(days=3):
        for hours in (1, 2, 3, 6, 12, 24):
            if span / timedelta(hours=hours) <= room:
                break
        marks = [midnight + timedelta(hours=hours * i) for i in range(74 // hours + 2)]
        return [
            (m.timestamp() * 1000, f"{m:%H}h" if m.hour else day_text(m.date(), year=year))
            for m in marks
            if low <= m.timestamp() * 1000 <= high
        ]
    days = [midnight + timedelta(days=i) for i in range(span.days + 2)]
    days = [day for day in days if first <= day < last]
    mondays = [day for day in days if day.weekday() == 0]
    months = [day for day in days if day.day == 1]
    scales = (days, days[::2], mondays, mondays[::2], mondays[::4], months, months[::2],
              months[::3], months[::6], months[::12])  # fmt: skip
    chosen = next((scale for scale in scales if scale and len(scale) <= room), days[:1])
    # A day's mark stands in the middle of its window.
    half = DAY_MS / 2
    return [
        (day.timestamp() * 1000 + half, day_text(day.date(), year=year))
        for day in chosen
        if low <= day.timestamp() * 1000 + half <= high
    ]


def _rows(found: Series, zone: ZoneInfo) -> tuple[Floats, list[tuple[float, str, str]]]:
    """Return [n, 8]: middle, value, low, high, limit, rows, start, flag; and version changes.

    Rows of NaN stand where a line must break. Flag 2 = alarming and over, 1 = over once.
    """
    out: list[tuple[float, ...]] = []
    breaks: list[tuple[float, str, str]] = []
    gap = (np.nan,) * 7 + (0.0,)
    before = None
    for run in found.runs:
        if before is not None and run.points:
            out.append(gap)
            edge = local_ms(run.points[0].start_ms, zone)
            breaks.append((edge, before.version, run.version))
        pauses = set(run.pauses)
        for place, point in enumerate(run.points):
            if place in pauses:
                out.append(gap)
            out.append(_row(point, zone))
        before = run
    if not out:
        return np.empty((0, 8)), []
    return np.array(out, dtype=np.float64), breaks


def _row(point: Point, zone: ZoneInfo) -> tuple[float, ...]:
    def known(value: float | None) -> float:
        return np.nan if value is None else value

    middle = local_ms((point.start_ms + point.end_ms) / 2, zone)
    flag = 0.0
    if point.value is not None and point.is_over:
        flag = 2.0 if point.is_alarming else 1.0
    return (
        middle, known(point.value), known(point.low), known(point.high), known(point.limit),
        float(point.rows), float(point.start_ms), flag,
    )  # fmt: skip


def _band(x: Floats, low: Floats, high: Floats, color: str) -> Figure:
    """Return the bounds as one trace of closed shapes, each as long as nothing breaks it."""
    known = ~(np.isnan(low) | np.isnan(high))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    xs: list[Floats] = []
    ys: list[Floats] = []
    gap = np.array([np.nan])
    for start, stop in edges.reshape(-1, 2).tolist():
        here = slice(start, stop)
        xs += [x[here], x[here][::-1], gap]
        ys += [high[here], low[here][::-1], gap]
    nothing = np.empty(0)
    return {
        "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": color,
        "x": typed(np.concatenate([nothing, *xs])), "y": typed(np.concatenate([nothing, *ys])),
        "line": {"width": 0, "shape": "hvh"}, "hoverinfo": "skip", "name": "bound",
    }  # fmt: skip


def _hatch(found: Series, zone: ZoneInfo, span: tuple[float, float], color: str) -> list[Figure]:
    """Return the spans of incomplete windows as one trace of hatched boxes over everything."""
    spans: list[list[float]] = []
    for point in found.points:
        if point.incomplete:
            start, end = local_ms(point.start_ms, zone), local_ms(point.end_ms, zone)
            if spans and spans[-1][1] >= start:
                spans[-1][1] = end
            else:
                spans.append([start, end])
    if not spans:
        return []
    box = [(a, a, b, b, np.nan) for a, b in spans[:_MAX_HATCHES]]
    low, high = span
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "fill": "toself",
            "x": typed(np.array(box).ravel()),
            "y": typed(np.tile([low, high, high, low, np.nan], len(box))),
            "line": {"width": 0},
            "hoverinfo": "skip",
            "name": "incomplete",
            "fillcolor": "rgba(0,0,0,0)",
            "fillpattern": {"shape": "/", "size": 6, "solidity": 0.3, "fgcolor": color},
        }
    ]


def _breaks(
    breaks: Sequence[tuple[float, str, str]], scheme: Scheme
) -> tuple[list[Figure], list[Figure]]:
    c = TOKENS[scheme]
    shapes: list[Figure] = []
    notes: list[Figure] = []
    for ms, _, _ in breaks[: 2 * _MAX_BREAKS]:
        shapes.append(
            {
                "type": "line", "xref": "x", "yref": "paper", "x0": ms, "x1": ms, "y0": 0,
                "y1": 1.07, "line": {"color": c["text"], "width": 1},
            }
        )  # fmt: skip
    if len(breaks) <= _MAX_BREAKS:
        for ms, before, after in breaks:
            same = before == after
            said = (
                "another reference"
                if same
                else f"{escaped(cut(version_tag(after), 24))} and its reference"
            )
            left = "" if same else escaped(cut(version_tag(before), 24))
            for words, anchor, shift in ((left, "right", -5), (said, "left", 5)):
                notes.append(_note(words, ms, 1.05, anchor, c["text2"], xshift=shift))
    return shapes, [note for note in notes if note["text"]]


def _note(words: str, x: float, y: float, anchor: str, color: str, xshift: int = 0) -> Figure:
    return {
        "text": words, "xref": "x", "x": x, "yref": "paper", "y": y, "xanchor": anchor,
        "yanchor": "middle", "showarrow": False, "xshift": xshift,
        "font": {"size": 11, "color": color},
    }  # fmt: skip


def _root_ticks(top: float) -> list[float]:
    """Return labels of a root axis, from the top down where they would touch."""
    inside = [tick for tick in ROOT_TICKS if tick <= top]
    kept: list[float] = []
    for tick in inside:
        if not kept or (tick**0.5 - kept[-1] ** 0.5) / top**0.5 >= _TICK_ROOM:
            kept.append(tick)
    return kept


def nearest_start(starts: Sequence[int], ms: int) -> int:
    """Return the place of the start that is nearest to an instant.

    >>> nearest_start([0, 10, 20], 14)
    1
    """
    at = bisect_left(starts, ms)
    if at == 0:
        return 0
    if at == len(starts) or ms - starts[at - 1] <= starts[at] - ms:
        return at - 1
    return at
