"""The model page's two charts: bars of drifted features and volume, and the heatmap.

Pure. Both have no side margins and the same time axis, so that the page can lay
HTML (labels, versions, incidents) beside and above them to the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from dashboard.figures.factory import Figure, axis, template, typed
from dashboard.figures.series import Axis, all_local_ms, axis_of, local_ms, time_axis
from dashboard.tokens import HEAT, HEAT_LIMITS, TOKENS, Scheme
from dashboard.words import EVIDENCE, escaped
from driftline.stats.lengths import NOMINAL_MS
from monitor.storage.rows import Incident
from monitor.views.heat import SOURCES, Heat
from monitor.views.timeline import Columns, Timeline

ROW_PX = 20
TICKS_PX = 22
BARS_PX = 112
# What the plot is wide, about, on a usual screen and on a phone: gaps and labels depend on it.
WIDE_PX, NARROW_PX = 800, 240
# Narrower columns have no gap between them: it would be all that one sees.
MIN_PX_WITH_GAP = 5
# Room for a number over a bar.
NUMBER_PX = 24
# With the lines of versions (8) and requests these are the shapes of a figure, fifty at most.
MAX_SPANS, MAX_ASKED = 36, 6
HOVER_TIME = {
    "hour": "%a %-d %b %Y, %H:%M", "day": "%a %-d %b %Y", "week": "week of %-d %b %Y",
    "4weeks": "28 days from %-d %b %Y",
}  # fmt: skip

Floats = NDArray[np.float64]


def axis_of_columns(columns: Columns, zone: ZoneInfo) -> Axis:
    """Return the time axis of the columns: from the first one's start to the last one's end."""
    return axis_of(int(columns.starts[0]), int(columns.ends[-1]), zone)


def centres(columns: Columns, zone: ZoneInfo) -> Floats:
    """Return [columns] the middle of each on the model's wall clock."""
    starts = all_local_ms(columns.starts, zone)
    ends = all_local_ms(columns.ends, zone)
    # The hour that a clock change repeats begins and ends at the same time: it gets half of it.
    ends = np.where(ends > starts, ends, starts + NOMINAL_MS[columns.unit] / 2)
    return np.asarray((starts + ends) / 2)


def bars(
    found: Timeline, scheme: Scheme, width_px: int = WIDE_PX, asked: Sequence[int] = ()
) -> Figure:
    """Return two rows of bars over time: features drifted, and predictions.

    A dotted line stands at the event times `asked` of requests for a retraining, a solid one where
    another version began.
    """
    c = TOKENS[scheme]
    columns, zone = found.columns, found.scope.zone
    at, x = axis_of_columns(columns, zone), centres(columns, zone)
    drifted = found.drifted
    peak, most = max(1, int(drifted.max(initial=0))), max(1, int(columns.rows.max(initial=0)))
    room = ceil(NUMBER_PX * len(columns) / width_px)
    layout: Figure = {
        **template(scheme),
        "height": BARS_PX,
        "margin": {"l": 0, "r": 0, "t": 0, "b": TICKS_PX, "pad": 0},
        "hovermode": "x unified",
        "xaxis": {
            **time_axis(at, scheme, width_px),
            "unifiedhovertitle": {"text": f"<b>%{{x|{HOVER_TIME[columns.unit]}}}</b>"},
            "anchor": "y2",
        },
        # Room above the bars for the number at the peak.
        "yaxis": _y(scheme, 0, max(peak, 3) * 1.6, (0.54, 1.0)),
        "yaxis2": _y(scheme, 0, most * 1.02, (0.0, 0.42)),
        "shapes": [
            *_spans(found.incidents, at, zone, scheme),
            *_breaks(found, at, scheme),
            *_asked(asked, at, zone, scheme),
        ],
    }
    return {
        "data": [
            {
                "type": "bar",
                "x": typed(x),
                "y": typed(drifted.astype(np.float64)),
                "marker": {"color": c["text"], "line": {"width": 0}},
                "text": peaks(drifted.tolist(), room),
                "textposition": "outside",
                "textfont": {"size": 11, "color": c["text"], "weight": 650},
                "textangle": 0,
                "constraintext": "none",
                "cliponaxis": False,
                "hovertemplate": "%{y} drifted<extra></extra>",
                "name": "drifted",
            },
            {
                "type": "bar",
                "x": typed(x),
                "y": typed(columns.rows.astype(np.float64)),
                "yaxis": "y2",
                "marker": {"color": c["ref"], "opacity": 0.8, "line": {"width": 0}},
                "hovertemplate": "%{y:,} predictions<extra></extra>",
                "name": "predictions",
            },
        ],
        "layout": layout,
    }


def heat_height(rows: int) -> int:
    """Return the height of a heatmap in pixels: rows, ticks, and a pixel above for the outline."""
    return rows * ROW_PX + TICKS_PX + 1


def heatmap(
    found: Timeline,
    heat: Heat,
    scheme: Scheme,
    width_px: int = WIDE_PX,
    asked: Sequence[int] = (),
) -> Figure:
    """Return features by time, grey below the limit, cividis above, alarms outlined."""
    c = TOKENS[scheme]
    columns, zone = found.columns, found.scope.zone
    at, x = axis_of_columns(columns, zone), centres(columns, zone)
    rows = len(heat.features)
    gap = 1 if width_px / len(columns) >= MIN_PX_WITH_GAP else 0
    classes = np.digitize(heat.ratio, HEAT_LIMITS, right=True).astype(np.float32)
    scale = [[edge / 5, c[name]] for n, name in enumerate(HEAT) for edge in (n, n + 1)]
    when = f"%{{x|{HOVER_TIME[columns.unit]}}}"
    data: list[Figure] = []
    for code, source in enumerate(SOURCES):
        here = heat.source == code
        if not here.any():
            continue
        is_blind = source == "blind"
        what = "blind" if is_blind else EVIDENCE[source]
        said = "blind at this length" if is_blind else f"{what}, %{{customdata:.2f}}× its limit"
        data.append(
            {
                "type": "heatmap",
                "x": typed(x),
                "y": list(range(rows)),
                "z": typed(np.where(here, 0 if is_blind else classes, np.nan).astype(np.float32)),
                "customdata": typed(np.where(here, heat.ratio, np.nan).astype(np.float32)),
                "zmin": -0.5,
                "zmax": 4.5,
                "colorscale": scale,
                "showscale": False,
                "xgap": gap,
                "ygap": 1,
                "hoverongaps": False,
                "hovertemplate": f"<b>%{{y}}</b> {when}<br>{said}<extra></extra>",
                "name": what,
            }
        )
    data += _hatch(found, rows, c["line"])
    data += _outline(heat, columns, zone, c["text"])
    shapes = [*_breaks(found, at, scheme), *_asked(asked, at, zone, scheme)]
    if 0 < heat.pinned < rows:
        shapes.append(
            {
                "type": "line", "xref": "paper", "x0": 0, "x1": 1,
                "y0": heat.pinned - 0.5, "y1": heat.pinned - 0.5,
                "line": {"width": 1.5, "color": c["line"]},
            }
        )  # fmt: skip
    layout: Figure = {
        **template(scheme),
        "height": heat_height(rows),
        "margin": {"l": 0, "r": 0, "t": 1, "b": TICKS_PX, "pad": 0},
        "hovermode": "closest",
        "xaxis": time_axis(at, scheme, width_px),
        "yaxis": {
            **_y(scheme, rows - 0.5, -0.5, (0.0, 1.0)),
            # Never drawn; they give the hover its names.
            "tickmode": "array",
            "tickvals": list(range(rows)),
            "ticktext": [escaped(name) for name in heat.features],
        },
        "shapes": shapes,
    }
    return {"data": data, "layout": layout}


def peaks(counts: Sequence[int], room: int) -> list[str]:
    """Return the number at the first highest bar of each run, at least `room` bars apart."""
    text = [""] * len(counts)
    taken = -room
    for start, end in runs([n > 0 for n in counts]):
        run = counts[start:end]
        at = start + run.index(max(run))
        if at - taken >= room:
            text[at] = str(max(run))
            taken = at
    return text


def runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Return the half-open spans in which `flags` holds.

    >>> runs([False, True, True, False, True])
    [(1, 3), (4, 5)]
    """
    found = []
    start: int | None = None
    for at, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = at
        elif not flag and start is not None:
            found.append((start, at))
            start = None
    return found


def _y(scheme: Scheme, low: float, high: float, domain: tuple[float, float]) -> Figure:
    return axis(scheme, range=[low, high], domain=list(domain), showticklabels=False)


def _spans(incidents: Sequence[Incident], at: Axis, zone: ZoneInfo, scheme: Scheme) -> list[Figure]:
    """Return the incidents' time as a tint under the bars."""
    c = TOKENS[scheme]
    shapes: list[Figure] = []
    for incident in incidents:
        tone = "crit-tint" if incident.severity == "critical" else "warn-tint"
        for start_ms, end_ms in incident.spans():
            begin = local_ms(start_ms, zone)
            end = at.to_ms if end_ms is None else local_ms(end_ms, zone)
            if end <= at.from_ms or begin >= at.to_ms or len(shapes) >= MAX_SPANS:
                continue
            shapes.append(
                {
                    "type": "rect", "layer": "below", "xref": "x", "yref": "paper",
                    "x0": max(begin, at.from_ms), "x1": min(end, at.to_ms), "y0": 0, "y1": 1,
                    "fillcolor": c[tone], "opacity": 0.65, "line": {"width": 0},
                }
            )  # fmt: skip
    return shapes


def _breaks(found: Timeline, at: Axis, scheme: Scheme) -> list[Figure]:
    """Return a line where another version, or another reference, began to be judged."""
    starts = sorted({local_ms(span.from_ms, found.scope.zone) for span in found.lived})
    return [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": start, "x1": start,
            "y0": 0, "y1": 1, "line": {"width": 1.5, "color": TOKENS[scheme]["line"]},
        }
        for start in starts[-8:]
        if at.from_ms < start < at.to_ms
    ]  # fmt: skip


def _asked(asked: Sequence[int], at: Axis, zone: ZoneInfo, scheme: Scheme) -> list[Figure]:
    """Return a dotted line where a retraining was requested."""
    places = sorted({local_ms(ms, zone) for ms in asked})
    drawn = {"width": 1.5, "dash": "dot", "color": TOKENS[scheme]["text"]}
    return [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": place, "x1": place,
            "y0": 0, "y1": 1, "line": drawn,
        }
        for place in places[-MAX_ASKED:]
        if at.from_ms < place < at.to_ms
    ]  # fmt: skip


def _hatch(found: Timeline, rows: int, color: str) -> list[Figure]:
    places = sorted(found.columns.incomplete)
    if not places:
        return []
    x = centres(found.columns, found.scope.zone)[places]
    return [
        {
            "type": "bar",
            "x": typed(x),
            "y": [rows] * len(places),
            "base": -0.5,
            "width": NOMINAL_MS[found.columns.unit],
            "marker": {
                "color": "rgba(0,0,0,0)",
                "line": {"width": 0},
                "pattern": {"shape": "/", "size": 5, "solidity": 0.35, "fgcolor": color},
            },
            "hoverinfo": "skip",
            "name": "incomplete",
        }
    ]


def _outline(heat: Heat, columns: Columns, zone: ZoneInfo, color: str) -> list[Figure]:
    """Draw every alarm run's frame in one line trace with gaps: shapes would be too many."""
    edges = [local_ms(ms, zone) for ms in (*columns.starts.tolist(), int(columns.ends[-1]))]
    xs: list[float] = []
    ys: list[float] = []
    for row in range(len(heat.features)):
        for begin, end in runs(heat.alarm[row].tolist()):
            left, right = edges[begin], edges[end]
            top, bottom = row - 0.5, row + 0.5
            xs += [left, right, right, left, left, np.nan]
            ys += [top, top, bottom, bottom, top, np.nan]
    if not xs:
        return []
    return [
        {
            "type": "scatter",
            "x": typed(np.array(xs)),
            "y": typed(np.array(ys)),
            "mode": "lines",
            "line": {"width": 1.25, "color": color, "shape": "linear"},
            "cliponaxis": False,
            "hoverinfo": "skip",
            "connectgaps": False,
            "name": "alarm",
        }
    ]
