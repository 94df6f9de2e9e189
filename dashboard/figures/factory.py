"""What every figure starts from: one template, one configuration, numbers as typed arrays.

Figures are plain dicts: Plotly's own classes check each property, which takes
longer than reading the data. Text goes through `dashboard.words.escaped`
first, because Plotly makes links and bold of what looks like HTML.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.tokens import TOKENS, Scheme

Figure = dict[str, Any]

# `showSendToCloud` would offer to upload the user's numbers.
CONFIG = {
    "displayModeBar": False,
    "displaylogo": False,
    "showSendToCloud": False,
    "showTips": False,
    "scrollZoom": False,
    "doubleClick": False,
    "responsive": True,
}
FONT = "Inter, system-ui, sans-serif"
DAY_MS = 86_400_000
MAX_POINTS, MAX_TRACES, MAX_SHAPES = 1_500, 20, 50
# Plotly's names of what a browser can read from bytes; other numbers are made float64.
DTYPES = {"i1": "i1", "i2": "i2", "i4": "i4", "u1": "u1", "f4": "f4", "f8": "f8"}


def typed(values: NDArray[Any]) -> dict[str, Any]:
    """Return an array as Plotly reads it fastest: base64 of little-endian numbers.

    >>> typed(np.array([[0, 1], [2, 3]], dtype=np.int8))
    {'dtype': 'i1', 'bdata': 'AAECAw==', 'shape': '2, 2'}
    """
    name = values.dtype.str[1:]
    if name not in DTYPES:
        values, name = values.astype(np.float64), "f8"
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    found = {"dtype": name, "bdata": b64encode(data.tobytes()).decode()}
    if values.ndim > 1:
        found["shape"] = ", ".join(map(str, values.shape))
    return found


def template(scheme: Scheme) -> Figure:
    """Return the layout that every figure starts from.

    Without a `transition`, even one that lasts 0 ms: Plotly then moves axes that the figure before
    had and the next one has not, which raises.
    """
    c = TOKENS[scheme]
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 11, "color": c["text2"]},
        "showlegend": False,
        "dragmode": False,
        "bargap": 0.22,
        "hoverlabel": {
            "bgcolor": c["surface"],
            "bordercolor": c["line"],
            "align": "left",
            "font": {"family": FONT, "size": 12, "color": c["text"]},
        },
    }


def axis(scheme: Scheme, **more: Any) -> Figure:
    """Return an axis without lines, marks or zoom; `more` says what it shows."""
    return {
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 11, "color": TOKENS[scheme]["text3"]},
        "gridcolor": TOKENS[scheme]["grid"],
        "automargin": False,
        **more,
    }


def blank(height: int) -> Figure:
    """Return what a graph shows before its first answer: nothing, in the height of what comes.

    Plotly cannot add a second y axis to a figure that began without traces.
    """
    return {
        "data": [
            {"type": "bar", "x": [], "y": []},
            {"type": "bar", "x": [], "y": [], "yaxis": "y2"},
        ],
        "layout": {
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            **{name: {"visible": False} for name in ("xaxis", "yaxis", "yaxis2")},
        },
    }
