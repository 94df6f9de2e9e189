"""A `View` into Plotly figures: bars of drifted features and volume, and the heatmap.

Pure. Both figures have no side margins and the same x range, so that the page
can lay HTML (labels, incident bars) beside and above them to the pixel.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from math import ceil
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard.figures.factory import DAY_MS, template
from dashboard.tokens import HEAT, HEAT_LIMITS, TOKENS, Scheme
from dashboard.view import SOURCES, Heat, View
from dashboard.words import EVIDENCE, day_text, escaped

ROW_PX = 20
TICKS_PX = 22
BARS_PX = 112
# What the plot is wide, about, on a usual screen and on a phone: gaps and labels depend on it.
WIDE_PX, NARROW_PX = 800, 240
# Narrower days have no gap between them: it would be all that one sees.
MIN_DAY_PX_WITH_GAP = 5
TICK_LABEL_PX, TICK_LABEL_WITH_YEAR_PX = 46, 70
# Room for a number over a bar.
NUMBER_PX = 24


def ticks(days: tuple[date, ...], width_px: int) -> list[date]:
    """Return the days that carry a label: Mondays, or the first of months in a long range."""
    day_px = width_px / len(days)
    room = TICK_LABEL_PX if days[0].year == days[-1].year else TICK_LABEL_WITH_YEAR_PX
    mondays = [d for d in days if d.weekday() == 0]
    firsts = [d for d in days if d.day == 1]
    scales = (mondays, mondays[::2], mondays[::4], firsts, firsts[::2], firsts[::3], firsts[::6])
    steps = (7, 14, 28, 30, 61, 91, 182)
    wanted = 7 if len(days) <= 30 else 14 if len(days) <= 150 else 30
    chosen = firsts[::12]
    for scale, step in zip(scales, steps, strict=True):
        if step >= wanted and step * day_px >= room:
            chosen = scale
            break
    edge = room / 2 / width_px
    return [d for d in chosen if edge < _share(days, d) < 1 - edge]


def tick_words(shown: list[date], days: tuple[date, ...]) -> list[str]:
    """Return the labels of `shown`; in a range over years, the year wherever it changes."""
    year = days[0].year if days[0].year == days[-1].year else None
    said = []
    for day in shown:
        said.append(day_text(day, year=year) if day.year == year else f"{day_text(day)} {day.year}")
        year = day.year
    return said


def _share(days: tuple[date, ...], day: date) -> float:
    return ((day - days[0]).days + 0.5) / len(days)


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _x_axis(days: tuple[date, ...], scheme: Scheme, width_px: int) -> dict[str, Any]:
    shown = ticks(days, width_px)
    return {
        "type": "date",
        "range": [_midnight(days[0]), _midnight(days[-1] + timedelta(days=1))],
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickvals": [_noon(d) for d in shown],
        "ticktext": tick_words(shown, days),
        "tickfont": {"size": 11, "color": TOKENS[scheme]["text3"]},
        "automargin": False,
    }


def _y_axis(low: float, high: float, domain: tuple[float, float]) -> dict[str, Any]:
    return {
        "range": [low, high],
        "domain": list(domain),
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "showticklabels": False,
        "ticks": "",
        "automargin": False,
    }


def bars(view: View, scheme: Scheme, width_px: int = WIDE_PX) -> go.Figure:
    """Return two rows of bars over days: features drifted, and predictions."""
    c = TOKENS[scheme]
    days = view.days
    noons = [_noon(d) for d in days]
    drifted = view.drifted
    peak = max(1, int(drifted.max(initial=0)))
    most = max(1, int(view.volume.max(initial=0)))
    figure = go.Figure(
        [
            go.Bar(
                x=noons,
                y=drifted,
                marker={"color": c["text"], "line": {"width": 0}},
                text=_peaks(drifted.tolist(), ceil(NUMBER_PX * len(days) / width_px)),
                textposition="outside",
                textfont={"size": 11, "color": c["text"], "weight": 650},
                textangle=0,
                constraintext="none",
                cliponaxis=False,
                hovertemplate="%{y} drifted<extra></extra>",
                name="drifted",
            ),
            go.Bar(
                x=noons,
                y=view.volume,
                yaxis="y2",
                marker={"color": c["ref"], "opacity": 0.8, "line": {"width": 0}},
                hovertemplate="%{y:,} predictions<extra></extra>",
                name="predictions",
            ),
        ]
    )
    figure.update_layout(
        **template(scheme),
        height=BARS_PX,
        margin={"l": 0, "r": 0, "t": 0, "b": TICKS_PX, "pad": 0},
        hovermode="x unified",
        xaxis={
            **_x_axis(days, scheme, width_px),
            "unifiedhovertitle": {"text": "<b>%{x|%a %-d %b %Y}</b>"},
            "anchor": "y2",
        },
        # Room above the bars for the number at the peak.
        yaxis=_y_axis(0, max(peak, 3) * 1.6, (0.54, 1.0)),
        yaxis2=_y_axis(0, most * 1.02, (0.0, 0.42)),
        shapes=_spans(view, scheme),
    )
    return figure


def _peaks(counts: list[int], room: int) -> list[str]:
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


def _spans(view: View, scheme: Scheme, limit: int = 40) -> list[dict[str, Any]]:
    c = TOKENS[scheme]
    shapes: list[dict[str, Any]] = []
    end = _midnight(view.days[-1] + timedelta(days=1))
    spans = [(span, i) for i in view.incidents for span in i.spans()]
    for (start_ms, end_ms), incident in spans[:limit]:
        begin = datetime.fromtimestamp(start_ms / 1000, view.zone)
        finish = (
            datetime.fromtimestamp(end_ms / 1000, view.zone).replace(tzinfo=None)
            if end_ms is not None
            else end
        )
        if finish <= _midnight(view.days[0]):
            continue
        tone = "crit-tint" if incident.severity == "critical" else "warn-tint"
        shapes.append(
            {
                "type": "rect",
                "layer": "below",
                "xref": "x",
                "yref": "paper",
                "x0": max(begin.replace(tzinfo=None), _midnight(view.days[0])),
                "x1": min(finish, end),
                "y0": 0,
                "y1": 1,
                "fillcolor": c[tone],
                "opacity": 0.65,
                "line": {"width": 0},
            }
        )
    return shapes


def heat_height(rows: int) -> int:
    """Return the height of a heatmap in pixels: rows, ticks, and a pixel above for the outline."""
    return rows * ROW_PX + TICKS_PX + 1


def heatmap(view: View, scheme: Scheme, width_px: int = WIDE_PX) -> go.Figure:
    """Return the features x days, grey below the limit, cividis above, alarms outlined."""
    c = TOKENS[scheme]
    heat, days = view.heat, view.days
    rows = len(heat.features)
    gap = 1 if width_px / len(days) >= MIN_DAY_PX_WITH_GAP else 0
    noons = [_noon(d) for d in days]
    classes = np.digitize(heat.ratio, HEAT_LIMITS, right=True).astype(np.float32)
    scale = [[edge / 5, c[name]] for n, name in enumerate(HEAT) for edge in (n, n + 1)]
    figure = go.Figure()
    for code, source in enumerate(SOURCES):
        here = heat.source == code
        if not here.any():
            continue
        what = "blind" if source == "blind" else EVIDENCE[source]
        hover = (
            f"{what} at one day" if source == "blind" else f"{what}, %{{customdata:.2f}}× its limit"
        )
        figure.add_heatmap(
            x=noons,
            y=np.arange(rows),
            z=np.where(here, 0 if source == "blind" else classes, np.nan),
            customdata=np.where(here, heat.ratio, np.nan),
            zmin=-0.5,
            zmax=4.5,
            colorscale=scale,
            showscale=False,
            xgap=gap,
            ygap=1,
            hoverongaps=False,
            hovertemplate="<b>%{y}</b> %{x|%a %-d %b %Y}<br>" + hover + "<extra></extra>",
            name=source,
        )
    _hatch(figure, view, rows, c["line"])
    _outline(figure, heat, days, c["text"])
    pins = []
    if 0 < heat.pinned < rows:
        pins.append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": heat.pinned - 0.5,
                "y1": heat.pinned - 0.5,
                "line": {"width": 1.5, "color": c["line"]},
            }
        )
    figure.update_layout(
        **template(scheme),
        height=heat_height(rows),
        margin={"l": 0, "r": 0, "t": 1, "b": TICKS_PX, "pad": 0},
        hovermode="closest",
        xaxis=_x_axis(days, scheme, width_px),
        yaxis={
            **_y_axis(rows - 0.5, -0.5, (0.0, 1.0)),
            # Never drawn; they give the hover its names.
            "tickmode": "array",
            "tickvals": list(range(rows)),
            "ticktext": [escaped(name) for name in heat.features],
        },
        shapes=pins,
    )
    return figure


def _hatch(figure: go.Figure, view: View, rows: int, color: str) -> None:
    if not view.incomplete:
        return
    figure.add_bar(
        x=[_noon(d) for d in view.incomplete],
        y=[rows] * len(view.incomplete),
        base=-0.5,
        width=DAY_MS,
        marker={
            "color": "rgba(0,0,0,0)",
            "line": {"width": 0},
            "pattern": {"shape": "/", "size": 5, "solidity": 0.35, "fgcolor": color},
        },
        hoverinfo="skip",
        name="incomplete",
    )


def _outline(figure: go.Figure, heat: Heat, days: tuple[date, ...], color: str) -> None:
    """Draw every alarm run's frame in one line trace with gaps: shapes would be too many."""
    xs: list[datetime | None] = []
    ys: list[float | None] = []
    edges = [_midnight(days[0] + timedelta(days=n)) for n in range(len(days) + 1)]
    for row in range(len(heat.features)):
        for begin, end in runs(heat.alarm[row].tolist()):
            left, right = edges[begin], edges[end]
            top, bottom = row - 0.5, row + 0.5
            xs += [left, right, right, left, left, None]
            ys += [top, top, bottom, bottom, top, None]
    if xs:
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={"width": 1.25, "color": color, "shape": "linear"},
            cliponaxis=False,
            hoverinfo="skip",
            connectgaps=False,
            name="alarm",
        )


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
