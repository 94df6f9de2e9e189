"""The page of a feature before it is read: its cards, its graphs, its slots."""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard import parts, scope_row
from dashboard.figures import distribution as part_figures
from dashboard.figures import series as series_figures

SLOTS = {
    "title": ("feature-title", "children"),
    "tags": ("feature-tags", "children"),
    "order": ("feature-order", "children"),
    **scope_row.slots("feature"),
    "verdict": ("feature-verdict", "children"),
    "series_title": ("feature-series-title", "children"),
    "series_legend": ("feature-series-legend", "children"),
    "series_head": ("feature-series-head", "children"),
    "series": ("feature-series", "figure"),
    "series_words": ("feature-series-box", "aria-label"),
    "series_hidden": ("feature-plot", "hidden"),
    "series_twin": ("feature-series-twin", "children"),
    "frame": ("feature-frame", "style"),
    "reading": ("feature-reading", "children"),
    "marks": ("feature-marks", "children"),
    "states": ("feature-states", "children"),
    "part_title": ("feature-part-title", "children"),
    "part_step": ("feature-part-step", "children"),
    "part_head": ("feature-part-head", "children"),
    "part_menu": ("feature-part-menu", "children"),
    "part": ("feature-part", "figure"),
    "part_words": ("feature-part-box", "aria-label"),
    "part_hidden": ("feature-part-box", "hidden"),
    "part_body": ("feature-part-body", "children"),
    "numbers_title": ("feature-numbers-title", "children"),
    "numbers_aside": ("feature-numbers-aside", "children"),
    "numbers": ("feature-numbers", "children"),
    "small": ("feature-small", "figure"),
    "new": ("feature-new", "children"),
    "new_hidden": ("feature-new-card", "hidden"),
    "collecting": ("feature-collecting", "children"),
    "series_card_hidden": ("feature-series-card", "hidden"),
    "pair_hidden": ("feature-pair", "hidden"),
    "view": ("feature-view", "data-view"),
}


def _graph(name: str, height: int, label: str, axes: tuple[str, ...] = ("xaxis", "yaxis")) -> Any:
    """Return a graph that begins with the axes it will have: Plotly fails where they change."""
    box = parts.graph(name, height, label)
    ends = {axis[0]: axis.replace("axis", "") for axis in axes}
    empty: dict[str, Any] = {"type": "scatter", "x": [], "y": []}
    box.children.figure = {
        "data": [empty]
        if len(axes) == 2
        else [empty, {**empty, "xaxis": ends["x"], "yaxis": ends["y"]}],
        "layout": {
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            **{axis: {"visible": False} for axis in axes},
        },
    }
    return box


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        html.Div(id="feature-view", **{"data-view": ""}),
        html.Div(
            [
                html.Div(
                    [html.H1(id="feature-title"), html.Div(id="feature-tags", className="tags")],
                    className="title",
                ),
                html.Nav(
                    id="feature-order", className="order", **{"aria-label": "Features by worst"}
                ),
                scope_row.skeleton("feature"),
            ],
            className="scope",
        ),
        html.Div(parts.skeleton(2), id="feature-verdict", role="status"),
        html.Div(id="feature-collecting"),
        html.Section(
            [
                html.Header(
                    [
                        html.H2("PSI", id="feature-series-title", className="h3"),
                        html.Div(id="feature-series-legend", className="legend"),
                        html.Div(id="feature-series-head", className="head-end"),
                    ]
                ),
                html.Div(
                    [
                        _graph("feature-series", series_figures.HEIGHT, "Loading"),
                        html.Div(
                            [
                                html.Div(id="feature-frame", style={"display": "none"}),
                                html.Div(id="feature-reading"),
                                html.Div(id="feature-marks"),
                            ],
                            className="over-plot",
                            **{"aria-hidden": "true"},
                        ),
                    ],
                    id="feature-plot",
                    className="series-plot",
                ),
                html.Div(id="feature-series-twin"),
                html.Ul(id="feature-states", className="states"),
            ],
            id="feature-series-card",
            className="card feature-series",
        ),
        html.Div(
            [
                html.Section(
                    [
                        html.Header(
                            [
                                html.H2(
                                    "Which part moved", id="feature-part-title", className="h3"
                                ),
                                html.Div(id="feature-part-step", className="stepper"),
                                html.Div(
                                    [
                                        html.Div(id="feature-part-head", className="head-end"),
                                        html.Div(id="feature-part-menu"),
                                    ],
                                    className="head-end",
                                ),
                            ]
                        ),
                        _graph("feature-part", part_figures.HEIGHT, "Loading"),
                        html.Div(
                            # Wider than a phone, it scrolls: by keys, too.
                            parts.skeleton(4),
                            id="feature-part-body",
                            tabIndex=0,
                            role="group",
                            **{"aria-label": "Which part moved"},
                        ),
                    ],
                    className="card feature-part",
                ),
                html.Div(
                    [
                        html.Section(
                            [
                                html.Header(
                                    [
                                        html.H2("New values", className="h3"),
                                        html.Span("the 20 most frequent are kept"),
                                    ]
                                ),
                                html.Div(id="feature-new"),
                            ],
                            id="feature-new-card",
                            className="card",
                            hidden=True,
                        ),
                        html.Section(
                            [
                                html.Header(
                                    [
                                        html.H2(
                                            "In numbers",
                                            id="feature-numbers-title",
                                            className="h3",
                                        ),
                                        html.Span(id="feature-numbers-aside", className="end"),
                                    ]
                                ),
                                html.Div(parts.skeleton(6), id="feature-numbers"),
                                html.Div(
                                    [html.Span("Missing"), html.Span("Rows")],
                                    className="small-heads",
                                ),
                                _graph(
                                    "feature-small",
                                    series_figures.SMALL_HEIGHT,
                                    "Missing rate and rows over the range; the table of the "
                                    "chart above has the numbers",
                                    ("xaxis", "yaxis", "xaxis2", "yaxis2"),
                                ),
                            ],
                            className="card feature-numbers",
                        ),
                    ],
                    className="feature-side",
                ),
            ],
            id="feature-pair",
            className="feature-pair",
        ),
    ]
