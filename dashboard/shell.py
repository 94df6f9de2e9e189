"""What stands around every page: the bar of places and models, the top bar, the dialogs.

Built once; callbacks fill its parts. The page itself stands in `#page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard import address, login
from dashboard.finding import HINT
from dashboard.parts import icon, link, skeleton
from dashboard.words import HEALTH, shown
from monitor.views.models import ModelLine

TICK_MS = 2_000
MAX_MODELS = 12
PLACES = (
    ("/", "layout-dashboard", "Overview"),
    ("/incidents", "siren", "Incidents"),
    ("/pipeline", "activity", "Pipeline"),
    ("/deliveries", "inbox", "Deliveries"),
    ("/references", "layers", "References"),
)
KEYS = (
    ("/", "Search models, features and incidents"),
    ("g o", "Overview"),
    ("g i", "Incidents"),
    ("g p", "Pipeline"),
    ("g r", "References"),
    ("← →", "The window before, the window after; in the heatmap, walk with all four arrows"),
    ("Enter", "Open the row, the cell or the link that has the focus"),
    ("p", "Pause or go on following new data"),
    ("c", "Copy the link to this view"),
    ("Esc", "Close what is open"),
    ("?", "This list"),
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


UNKNOWN_ZONES = [{"value": "utc", "label": "UTC"}, {"value": "local", "label": "Local"}]


def layout(
    *,
    page: Any = None,
    place: Mapping[str, str] | None = None,
    crumb: Sequence[Any] = (),
    zones: Sequence[Mapping[str, str]] = UNKNOWN_ZONES,
    has_one_zone: bool = False,
    with_logout: bool = False,
) -> Any:
    """Return the shell around a page, or around none where the address is not known yet."""
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Interval(id="tick", interval=TICK_MS),
            dcc.Store(id="version"),
            dcc.Store(id="pulse"),
            dcc.Store(id="screen"),
            dcc.Store(id="retry"),
            dcc.Store(id="place", data=place),
            dcc.Store(id="written"),
            dcc.Store(id="search-asked"),
            html.A("Skip to the page", href="#main", className="skip"),
            _nav(),
            _top(crumb, zones, has_one_zone=has_one_zone, with_logout=with_logout),
            html.Main(
                [
                    html.Div(id="gone", role="alert", hidden=True),
                    html.Div(id="banner", role="alert"),
                    html.Div(page if page is not None else skeleton(6), id="page"),
                ],
                id="main",
                tabIndex=-1,
            ),
            html.Div(id="said", className="sr", role="status"),
            _search(),
            _keys(),
        ],
        theme=THEME,
        defaultColorScheme="auto",
    )


def _nav() -> Any:
    return html.Aside(
        [
            html.A(
                [
                    html.Span(className="mark", **{"aria-hidden": "true"}),
                    html.Span("Driftline", className="word"),
                ],
                href="/",
                className="logo",
                **{"aria-label": "Driftline: overview"},
            ),
            html.Nav(
                [
                    *(
                        link(
                            [
                                icon(name, 15),
                                html.Span(word, className="word"),
                                *([html.Span(id="firing", className="count num")] * (at == 1)),
                            ],
                            href,
                            className="nav-place",
                            title=word,
                        )
                        for at, (href, name, word) in enumerate(PLACES)
                    ),
                    html.Div("Models", className="nav-head"),
                    html.Div(id="models", className="nav-models"),
                ],
                **{"aria-label": "Pages"},
            ),
            html.Div(
                html.A(
                    [icon("book-open", 15), html.Span("API description", className="word")],
                    href="/api/v1/openapi.json",
                    title="API description",
                ),
                className="nav-foot",
            ),
        ],
        className="nav",
        id="nav",
    )


def _top(
    crumb: Sequence[Any],
    zones: Sequence[Mapping[str, str]],
    *,
    has_one_zone: bool,
    with_logout: bool,
) -> Any:
    return html.Header(
        [
            html.Button(
                icon("menu", 18),
                id="burger",
                type="button",
                **{"aria-label": "Pages", "aria-controls": "nav", "aria-expanded": "false"},
            ),
            html.Nav(list(crumb), id="crumb", className="crumb", **{"aria-label": "Where you are"}),
            html.Button(
                [
                    icon("search"),
                    html.Span("Search models, features, incidents", className="word"),
                    html.Kbd("/"),
                ],
                type="button",
                className="search-open",
                **{"data-open": "search", "aria-label": "Search models, features, incidents"},
            ),
            html.Div(id="freshness", className="freshness", role="status"),
            html.Button(
                icon("pause", 13),
                id="pause",
                type="button",
                className="icon-button",
                **{"aria-label": "Pause following new data", "aria-pressed": "false"},
            ),
            html.Div(
                dmc.SegmentedControl(
                    id="zone",
                    value="utc",
                    data=list(zones),
                    size="xs",
                    withItemsBorders=False,
                    transitionDuration=0,
                ),
                id="zone-box",
                hidden=has_one_zone,
                role="group",
                className="switch zone",
                **{"aria-label": "Times are told in"},
            ),
            dmc.ColorSchemeToggle(
                id="scheme",
                lightIcon=icon("moon", 15),
                darkIcon=icon("sun", 15),
                variant="subtle",
                color="gray",
                size="md",
                **{"aria-label": "Light or dark"},
            ),
            *([_logout()] if with_logout else ()),
        ],
        className="top",
    )


def _logout() -> Any:
    """A form, so that it works whatever the scripts do."""
    return html.Form(
        html.Button(
            icon("log-out", 15),
            id="logout",
            type="submit",
            className="icon-button",
            title="Log out",
            **{"aria-label": "Log out"},
        ),
        action=login.LOGOUT,
        method="POST",
        className="logout",
    )


def _search() -> Any:
    return dmc.Modal(
        [
            dmc.TextInput(
                id="search-text",
                placeholder="A model, a feature, #12 or words of an incident",
                size="sm",
                inputProps={"autoComplete": "off", "maxLength": 200},
                **{"aria-label": "Search", "data-autofocus": True},
            ),
            html.Div(html.P(HINT), id="search-results", className="search-results"),
        ],
        id="search-dialog",
        title="Search",
        size="lg",
        opened=False,
        transitionProps={"duration": 0},
        closeButtonProps={"aria-label": "Close"},
    )


def _keys() -> Any:
    rows = [
        html.Tr([html.Th([html.Kbd(key) for key in keys.split(" ")], scope="row"), html.Td(what)])
        for keys, what in KEYS
    ]
    return dmc.Modal(
        html.Table(html.Tbody(rows), className="table keys"),
        id="keys-dialog",
        title="Keys",
        size="md",
        opened=False,
        transitionProps={"duration": 0},
        closeButtonProps={"aria-label": "Close"},
    )


def model_links(models: Sequence[ModelLine]) -> list[Any]:
    """Return one link a model with its state, the worst first, at most twelve."""
    found: list[Any] = []
    for line in models[:MAX_MODELS]:
        name, word, tone = HEALTH[line.health]
        found.append(
            link(
                [
                    html.Span(shown(line.name), className="name word", title=shown(line.name)),
                    html.Span(word, className="sr"),
                    html.Span(icon(name, 15), className=f"status {tone}"),
                ],
                address.model(line.name),
                className="nav-model",
                title=f"{shown(line.name)[:80]}: {word}",
            )
        )
    if not models:
        return [html.Span("None yet", className="none word")]
    if len(models) > MAX_MODELS:
        found.append(link(f"all {len(models)} models", "/", className="nav-more word"))
    return found


def crumbs(parts: tuple[str, ...]) -> list[Any]:
    """Return where a page stands, each step but the last a link."""
    steps: list[tuple[str, str]] = []
    if not parts:
        steps = [("Overview", "/")]
    elif parts[0] == "models":
        steps = [("Models", "/"), *((part, address.model(part)) for part in parts[1:2])]
        steps += [(part, "") for part in parts[3:4]]
    elif parts[0] == "retrains":
        steps = [("Incidents", "/incidents"), *((f"Retraining {p}"[:24], "") for p in parts[1:2])]
    else:
        head = parts[0][:1].upper() + parts[0][1:]
        mark = "#" if parts[0] == "incidents" else ""
        steps = [(head, address.to(parts[0]))]
        steps += [(f"{mark}{part}"[:24], "") for part in parts[1:2]]
    said: list[Any] = []
    for at, (word, href) in enumerate(steps):
        said.append(html.Span(" / ", **{"aria-hidden": "true"}) if at else None)
        is_last = at == len(steps) - 1
        inside = shown(word)[:80]
        said.append(html.B(inside, **{"aria-current": "page"}) if is_last else link(inside, href))
    return said
