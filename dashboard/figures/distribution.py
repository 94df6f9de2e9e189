"""The reference as grey bars and the window as a blue line: histogram or cumulated. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dashboard.figures.factory import Figure, axis, template, typed
from dashboard.tokens import TOKENS, Scheme
from driftline.stats.words import number
from monitor.views.bars import Bar, bars
from monitor.views.compared import Distribution

HEIGHT = 236
# A group that holds so much of the PSI tints the values it holds.
TINTED = 0.15
_MARGIN = {"l": 40, "r": 8, "t": 22, "b": 22, "pad": 0}
_PERCENT = "\N{NO-BREAK SPACE}%"


def histogram(found: Distribution, scheme: Scheme) -> Figure:
    """Return both sides as shares of their values in bars of equal width."""
    c = TOKENS[scheme]
    made = bars(found)
    if not made.bars:
        return _empty(scheme)
    edges = _edges(made.bars)
    middles = [(a + b) / 2 for a, b in pairwise(edges)]
    width = [b - a for a, b in pairwise(edges)]
    before = np.array([100 * bar.reference for bar in made.bars])
    now = np.array([100 * bar.current for bar in made.bars])
    is_open = [bar.low is None or bar.high is None for bar in made.bars]
    hover = [_span(bar) for bar in made.bars]
    top = float(max(before.max(), now.max(), 1.0)) * 1.12
    shapes = _tints(found, edges, c["accent-tint"])
    lines, notes = _medians(found, edges, c)
    return {
        "data": [
            {
                "type": "bar", "x": typed(np.array(middles)), "y": typed(before),
                "width": typed(np.array(width)),
                "marker": {
                    "color": c["ref"], "opacity": 0.42, "line": {"width": 0},
                    # An open end holds everything beyond: it is no bar like the others.
                    "pattern": {"shape": ["/" if o else "" for o in is_open], "size": 5,
                                "solidity": 0.4, "fgcolor": c["ref"], "fillmode": "overlay"},
                },
                "text": hover, "textposition": "none",
                "hovertemplate": (
                    f"%{{text}}<br>reference %{{y:.1f}}{_PERCENT}<extra></extra>"
                ),
                "name": "reference",
            },
            {
                "type": "scatter", "mode": "lines",
                "x": typed(np.repeat(np.array(edges), 2)),
                "y": typed(np.concatenate([[0.0], np.repeat(now, 2), [0.0]])),
                "line": {"color": c["cur"], "width": 2, "shape": "linear"},
                "hoverinfo": "skip", "name": "window",
            },
            {
                "type": "scatter", "mode": "markers", "x": typed(np.array(middles)),
                "y": typed(now), "marker": {"opacity": 0, "color": c["cur"]},
                "hovertemplate": f"window %{{y:.1f}}{_PERCENT}<extra></extra>", "name": "window",
            },
        ],
        "layout": {
            **template(scheme),
            "height": HEIGHT,
            "margin": _MARGIN,
            "bargap": 0,
            "hovermode": "x unified",
            "xaxis": axis(
                scheme, range=[edges[0], edges[-1]], nticks=9, type="linear",
                unifiedhovertitle={"text": "<b>values</b>"}, showspikes=False,
            ),
            "yaxis": axis(
                scheme, range=[0, top], nticks=5, showgrid=True, ticksuffix=_PERCENT
            ),
            "shapes": [*shapes, *lines],
            "annotations": notes,
        },
    }  # fmt: skip


def cumulated(found: Distribution, scheme: Scheme) -> Figure:
    """Return the share of values up to each, of both sides, where the grid knows it."""
    c = TOKENS[scheme]
    if found.bins is None:
        return _empty(scheme)
    edges, before, now = found.bins.ecdf()
    shown = bars(found).bars
    span = _edges(shown) if shown else [edges[0], edges[-1]]
    x = np.array(edges)
    data = []
    for name, values, color, width in (
        ("reference", before, c["ref"], 1.75), ("window", now, c["cur"], 2.0),
    ):  # fmt: skip
        data.append(
            {
                "type": "scatter", "mode": "lines", "x": typed(x),
                "y": typed(100 * np.array(values)), "name": name,
                "line": {"color": color, "width": width, "shape": "hv"},
                "hovertemplate": f"{name} %{{y:.1f}}{_PERCENT}<extra></extra>",
            }
        )  # fmt: skip
    return {
        "data": data,
        "layout": {
            **template(scheme),
            "height": HEIGHT,
            "margin": _MARGIN,
            "hovermode": "x unified",
            "xaxis": axis(
                scheme, range=[span[0], span[-1]], nticks=9, type="linear",
                unifiedhovertitle={"text": "values up to <b>%{x:.4~g}</b>"},
            ),
            "yaxis": axis(
                scheme, range=[0, 101], tick0=0,
                dtick=25, showgrid=True,
                ticksuffix=_PERCENT,
            ),
            "shapes": _tints(found, span, c["accent-tint"]),
        },
    }  # fmt: skip


def _edges(made: Sequence[Bar]) -> list[float]:
    """Return the bars' edges; an open bar is drawn as wide as the others."""
    inner = [bar for bar in made if bar.low is not None and bar.high is not None]
    if not inner:
        known = [e for bar in made for e in (bar.low, bar.high) if e is not None]
        return [known[0] - 1, known[0], known[-1] + 1] if len(made) > 1 else [0.0, 1.0]
    first, last = inner[0], inner[-1]
    assert first.low is not None and first.high is not None and last.high is not None
    width = first.high - first.low
    edges = [first.low, *(bar.high for bar in inner if bar.high is not None)]
    if made[0].low is None:
        edges.insert(0, first.low - width)
    if made[-1].high is None:
        edges.append(last.high + width)
    return edges


def _span(bar: Bar) -> str:
    if bar.low is None:
        return f"up to {number(bar.high or 0.0, 4)}"
    if bar.high is None:
        return f"above {number(bar.low, 4)}"
    return f"{number(bar.low, 4)} to {number(bar.high, 4)}"


def _tints(found: Distribution, edges: Sequence[float], color: str) -> list[Figure]:
    """Return the spans of values that most of the PSI comes from."""
    shapes = []
    for group in found.groups:
        if group.psi_share < TINTED or (group.low is None and group.high is None):
            continue
        # An integer's bar reaches half a step to each side.
        half = 0.5 if found.bins is not None and found.bins.is_integer else 0.0
        low = edges[0] if group.low is None else max(group.low + half, edges[0])
        high = edges[-1] if group.high is None else min(group.high + half, edges[-1])
        if group.is_atom and group.high is not None:
            # One value: as wide as the bar that it stands in.
            bar = next((pair for pair in pairwise(edges) if pair[0] <= group.high <= pair[1]), None)
            low, high = bar or (low, high)
        if low < high:
            shapes.append(
                {
                    "type": "rect", "xref": "x", "yref": "paper", "x0": low, "x1": high, "y0": 0,
                    "y1": 1, "fillcolor": color, "opacity": 0.75, "layer": "below",
                    "line": {"width": 0},
                }
            )  # fmt: skip
    return shapes


def _medians(
    found: Distribution, edges: Sequence[float], c: dict[str, str]
) -> tuple[list[Figure], list[Figure]]:
    sides = [(found.reference.median, c["text2"]), (found.current.median, c["cur"])]
    known = [(m.value, color) for m, color in sides if m is not None]
    shapes, notes = [], []
    if len(known) == 2 and known[0][0] == known[1][0]:
        known = known[:1]
    word = "both medians" if len(known) < len([m for m, _ in sides if m is not None]) else "median"
    is_rising = len(known) < 2 or known[0][0] <= known[1][0]
    for at, (value, color) in enumerate(known):
        x = min(max(value, edges[0]), edges[-1])
        # The lower one's words stand at its left, so that the two never meet.
        left = is_rising == (at == 0)
        room = (x - edges[0]) / (edges[-1] - edges[0])
        if (left and room < 0.2) or (not left and room > 0.8):
            left = not left
        shapes.append(
            {
                "type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1,
                "line": {"color": color, "width": 1.5, "dash": "dot"},
            }
        )  # fmt: skip
        level = 1.05
        notes.append(
            {
                "text": f"{word} {number(value, 4)}", "xref": "x", "x": x, "yref": "paper",
                "y": level, "xanchor": "right" if left else "left", "xshift": -5 if left else 5,
                "yanchor": "middle", "showarrow": False, "font": {"size": 11, "color": color},
            }
        )  # fmt: skip
    apart = abs(known[0][0] - known[-1][0]) / (edges[-1] - edges[0])
    if len(notes) == 2 and notes[0]["xanchor"] == notes[1]["xanchor"] and apart < 0.25:
        notes[1]["y"] = 0.94
    return shapes, notes


def _empty(scheme: Scheme) -> Figure:
    return {
        "data": [],
        "layout": {
            **template(scheme),
            "height": HEIGHT,
            "margin": _MARGIN,
            "xaxis": {"visible": False, "fixedrange": True},
            "yaxis": {"visible": False, "fixedrange": True},
        },
    }
