"""The skeleton of the page: built once and filled by callbacks, so that scroll and hover stay."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard.figures import BARS_PX, CONFIG, blank
from dashboard.parts import command, icon, legend

TICK_MS = 2_000
RANGES = {"28": 28, "90": 90, "all": None}
EXAMPLE_EVENT = (
    '{"type": "prediction", "id": "1", "model": "my-model", "version": "1",\n'
    ' "time": "2025-06-02T08:00:00Z", "features": {"age": 41, "plan": "pro"},\n'
    ' "prediction": {"class": "late", "score": 0.73}}'
)

# Mantine's own shades fail contrast: a tuple of our accent, one shade for each scheme.
THEME = {
    "fontFamily": "var(--font)",
    "fontFamilyMonospace": "var(--mono)",
    "primaryColor": "accent",
    "primaryShade": {"light": 7, "dark": 3},
    "defaultRadius": 6,
    "colors": {
        "accent": [
            "#E9F0FC",
            "#CFDFF9",
            "#A9C5F5",
            "#84B1FF",
            "#5C92EE",
            "#3B79DE",
            "#2B69D1",
            "#1F5BC4",
            "#1A4DA6",
            "#153F88",
        ]
    },
}


def graph(name: str, height: int, label: str) -> Any:
    """Return a graph in the wrapper that gives it its words."""
    return html.Div(
        dcc.Graph(
            id=name,
            config=CONFIG,
            style={"height": f"{height}px"},
            figure=blank(height),
        ),
        id=f"{name}-box",
        className="graph",
        role="img",
        **{"aria-label": label},
    )


def switch(name: str, value: str | None, options: dict[str, str], label: str) -> Any:
    """Return a switch between a few views."""
    return html.Div(
        dmc.SegmentedControl(
            id=name,
            value=value,
            data=[{"value": key, "label": word} for key, word in options.items()],
            size="xs",
            withItemsBorders=False,
            transitionDuration=0,
        ),
        role="group",
        className="switch",
        **{"aria-label": label},
    )


def skeleton(lines: int) -> Any:
    """Return bars in the shape of what is coming; the stylesheet shows them after 300 ms."""
    return html.Div([html.I() for _ in range(lines)], className="skeleton")


def moved_card() -> Any:
    """Return the one card of charts: lanes, bars and heatmap on one time axis."""
    return html.Section(
        [
            html.Header(
                [
                    html.H3("What moved, and when"),
                    html.Div(legend(), className="legend"),
                    switch("look", "heatmap", {"heatmap": "Heatmap", "table": "Table"}, "Show as"),
                ]
            ),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div("Reference", className="lane-name"),
                            html.Div("Incidents", className="lane-name"),
                        ],
                        className="labels",
                    ),
                    html.Div(
                        [
                            html.Div(id="version-lane", className="lane"),
                            html.Div(id="incident-lane", className="lane"),
                        ],
                        className="plot",
                    ),
                    html.Div(id="lane-values", className="values"),
                    html.Div(
                        [
                            html.Div("Features drifted", className="bar-name"),
                            html.Div("Predictions a day", className="bar-name"),
                        ],
                        className="labels bars",
                    ),
                    html.Div(
                        graph("bars", BARS_PX, "Features drifted and predictions by day"),
                        className="plot",
                    ),
                    html.Div(id="bar-values", className="values bars"),
                    html.Div(id="row-labels", className="labels rows"),
                    html.Div(
                        graph("heat", 220, "Evidence over its limit, features by days"),
                        className="plot",
                    ),
                    html.Div(id="row-values", className="values rows"),
                ],
                id="chart",
                className="chart",
            ),
            html.Div(id="heat-note", className="note"),
            html.Div(id="twin", className="twin", hidden=True),
        ],
        className="card",
    )


def first_steps() -> Any:
    """Return what a page without a model says: what to type next, in commands that exist."""
    return html.Div(
        [
            html.H1("Nothing is monitored yet"),
            html.P(
                "A model needs a reference (what it was trained on) and a log of its predictions. "
                "This page fills itself as soon as the first one arrives.",
                className="lead",
            ),
            html.Div(
                [
                    html.Section(
                        [
                            html.H3("Your model"),
                            html.Ol(
                                [
                                    html.Li(
                                        [
                                            html.H4("Register its training data as a reference"),
                                            command(
                                                "driftline reference register train.parquet \\\n"
                                                "  --model my-model --version 1 \\\n"
                                                "  --prediction class --score score "
                                                "--label outcome --timestamp time"
                                            ),
                                            html.P(
                                                "Profiled on your machine; only counts are "
                                                "uploaded, never rows."
                                            ),
                                        ]
                                    ),
                                    html.Li(
                                        [
                                            html.H4("Log predictions to Kafka, as JSON"),
                                            command(EXAMPLE_EVENT, "›"),
                                            html.P(
                                                [
                                                    "One event a record, to the topic ",
                                                    html.Code("driftline.events"),
                                                    ". Its schema is at ",
                                                    html.A(
                                                        "/api/v1/schemas/event.json",
                                                        href="/api/v1/schemas/event.json",
                                                    ),
                                                    ".",
                                                ]
                                            ),
                                        ]
                                    ),
                                    html.Li(
                                        [
                                            html.H4("See that they are counted"),
                                            command("driftline status"),
                                        ]
                                    ),
                                ]
                            ),
                        ],
                        className="card",
                    ),
                    html.Div(
                        [
                            html.Section(
                                [
                                    html.H3("Just looking?"),
                                    html.P(
                                        "A year of real flights, a real model, real incidents. "
                                        "About a minute."
                                    ),
                                    command("driftline demo"),
                                ],
                                className="card",
                            ),
                            html.Section(
                                [html.H3("This installation"), html.Div(id="checks")],
                                className="card",
                            ),
                        ],
                        className="side",
                    ),
                ],
                className="first-steps",
            ),
        ],
        id="empty",
        className="empty",
        hidden=True,
    )


def layout() -> Any:
    """Return the skeleton."""
    page = html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H1("\N{NO-BREAK SPACE}", id="title"),
                            html.Span(id="version-tag"),
                            html.Span(id="owner-tag"),
                            html.Span(id="description", className="description"),
                        ],
                        className="title",
                    ),
                    switch(
                        "range",
                        None,
                        {"28": "28 days", "90": "90 days", "all": "All"},
                        "Days shown",
                    ),
                ],
                className="scope",
            ),
            html.Div(skeleton(2), id="verdict", role="status"),
            html.Div(skeleton(2), id="kpis", className="kpis"),
            moved_card(),
            html.Section(
                [
                    html.Header([html.H3("Incidents"), html.Span(id="incident-count")]),
                    html.Div(skeleton(4), id="incidents"),
                ],
                className="card",
            ),
        ],
        id="page",
    )
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Interval(id="tick", interval=TICK_MS),
            dcc.Store(id="version"),
            dcc.Store(id="pulse"),
            dcc.Store(id="screen"),
            dcc.Store(id="chosen"),
            html.A("Skip to the page", href="#main", className="skip"),
            html.Aside(
                [
                    html.A(
                        [html.Span(className="mark", **{"aria-hidden": "true"}), "Driftline"],
                        href="/",
                        className="logo",
                    ),
                    html.Nav(
                        [
                            html.Div("Models", className="nav-head"),
                            html.Div(id="models", className="nav-models"),
                        ],
                        **{"aria-label": "Models"},
                    ),
                    html.Div(
                        html.A(
                            [icon("layers"), "API description"],
                            href="/api/v1/openapi.json",
                        ),
                        className="nav-foot",
                    ),
                ],
                className="nav",
            ),
            html.Header(
                [
                    html.Div(id="crumb", className="crumb"),
                    html.Div(id="freshness", className="freshness", role="status"),
                    dmc.ColorSchemeToggle(
                        id="scheme",
                        lightIcon=icon("sun", 15),
                        darkIcon=icon("moon", 15),
                        variant="subtle",
                        color="gray",
                        size="md",
                        **{"aria-label": "Light or dark"},
                    ),
                ],
                className="top",
            ),
            html.Main(
                [
                    html.Div(id="banner", role="alert"),
                    html.Div(id="page-error"),
                    first_steps(),
                    page,
                    html.Div(
                        [
                            html.Section(
                                [
                                    html.Header(
                                        [
                                            html.H3("Pipeline"),
                                            html.Span("position and counts commit together"),
                                        ]
                                    ),
                                    html.Div(skeleton(4), id="pipeline"),
                                ],
                                className="card",
                            ),
                            html.Section(
                                [
                                    html.Header([html.H3("Dead letters")]),
                                    html.Div(skeleton(4), id="dead", className="dead"),
                                ],
                                className="card",
                            ),
                        ],
                        className="pair",
                    ),
                ],
                id="main",
            ),
        ],
        theme=THEME,
        defaultColorScheme="auto",
    )
