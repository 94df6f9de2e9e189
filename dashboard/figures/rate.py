"""Predictions by hour as one area; hours of which records were lost are hatched. Pure."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from dashboard.figures.factory import Figure, axis, template, typed
from dashboard.figures.series import all_local_ms, axis_of, local_ms, time_ticks
from dashboard.tokens import TOKENS, Scheme
from monitor.views.rate import Rate
from monitor.windows.panes import HOUR_MS

HEIGHT = 150
# A hatched span that is too narrow to be seen is none.
LEAST_HOURS = 2
MAX_GAPS = 40


def rate_figure(found: Rate, zone: ZoneInfo, scheme: Scheme, width_px: int = 1_000) -> Figure:
    """Return the figure."""
    c = TOKENS[scheme]
    starts = found.from_ms + np.arange(len(found.hours), dtype=np.float64) * HOUR_MS
    # Each hour stands from its start to its end; the last one ends the line.
    x = all_local_ms(np.append(starts, found.to_ms), zone)
    y = np.array([*found.hours, found.hours[-1]], dtype=np.float64)
    top = float(y.max()) * 1.08
    at = axis_of(found.from_ms, found.to_ms, zone)
    marks = time_ticks(at, width_px)
    return {
        "data": [
            {
                "type": "scatter", "mode": "lines", "fill": "tozeroy", "fillcolor": c["band"],
                "x": typed(x), "y": typed(y), "name": "predictions",
                "line": {"color": c["cur"], "width": 1.25, "shape": "hv"},
                "hovertemplate": "<b>%{x|%a %-d %b %H:%M}</b><br>%{y:,} predictions<extra></extra>",
            },
            *_hatch(found, zone, top, c["line"]),
        ],
        "layout": {
            **template(scheme),
            "height": HEIGHT,
            "margin": {"l": 44, "r": 8, "t": 6, "b": 22},
            "hovermode": "x",
            "xaxis": axis(
                scheme, type="date", range=[at.from_ms, at.to_ms],
                tickvals=[ms for ms, _ in marks], ticktext=[word for _, word in marks],
            ),
            "yaxis": axis(scheme, range=[0, top], showgrid=True, nticks=4, tickformat="~s"),
        },
    }  # fmt: skip


def _hatch(found: Rate, zone: ZoneInfo, top: float, color: str) -> list[Figure]:
    """Return the lost spans as one trace of hatched boxes."""
    if not found.gaps:
        return []
    boxes = []
    for start_ms, end_ms in found.gaps[:MAX_GAPS]:
        start = local_ms(start_ms, zone)
        end = max(local_ms(end_ms, zone), start + LEAST_HOURS * HOUR_MS)
        boxes.append((start, start, end, end, np.nan))
    return [
        {
            "type": "scatter", "mode": "lines", "fill": "toself", "line": {"width": 0},
            "x": typed(np.array(boxes).ravel()),
            "y": typed(np.tile([0.0, top, top, 0.0, np.nan], len(boxes))),
            "hoverinfo": "skip", "name": "lost", "fillcolor": "rgba(0,0,0,0)",
            "fillpattern": {"shape": "/", "size": 6, "solidity": 0.3, "fgcolor": color},
        }
    ]  # fmt: skip
