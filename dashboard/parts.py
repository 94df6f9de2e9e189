"""The small components that pages share: plain HTML with the stylesheet's classes.

Dash puts strings into the page as text, so a name is never markup here; what
goes to Plotly is escaped in `figures`. What a component needs from JavaScript
is an attribute (`data-png`, `data-copy-link`) that `assets/live.js` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard.figures.factory import CONFIG, blank
from dashboard.freshness import Freshness
from dashboard.glossary import explained
from dashboard.words import clock, cut

Part = Any  # Dash has no types


@dataclass(frozen=True)
class Verdict:
    """A page's answer; `notes` are (subject in bold, sentence)."""

    icon: str
    tone: str  # ok | warn | crit | idle
    headline: str
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kpi:
    """One figure of the strip."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    tone: str = ""  # crit: the figure is why somebody should look
    term: str = ""  # the word of the glossary that explains the label


def icon(name: str, size: int = 14) -> Part:
    """Return an outline that is decoration: the word beside it says the same."""
    style = {"width": f"{size}px", "height": f"{size}px"}
    return html.Span(className=f"i i-{name}", style=style, **{"aria-hidden": "true"})


def icon_in(name: str, tone: str) -> Part:
    """Return an icon in a status colour; the caller puts the word beside it."""
    return html.Span(icon(name), className=f"status {tone}")


def status(name: str, word: str, tone: str) -> Part:
    """Return icon, word and colour, always the three together."""
    return html.Span([icon(name), html.Span(word)], className=f"status {tone}")


def tag(text: str, limit: int = 60) -> Part:
    """Return a short fact in a box."""
    return html.Span(cut(text, limit), className="tag", title=cut(text, 300))


def term(word: str, means: str | None = None) -> Part:
    """Return a word with its explanation: a press, Enter or a resting mouse shows it.

    `means` is the word of `glossary.TERMS` where the page says it in another form. It is a
    button: it may stand in any text, but not within a link.
    """
    says = {"data-term": explained(means or word), "aria-expanded": "false"}
    return html.Button(word, type="button", className="term", **says)


def link(children: Any, href: str, **more: Any) -> Part:
    """Return a link within the dashboard: a real address, followed without loading the page."""
    return dcc.Link(children, href=href, **more)


def link_button(words: str, href: str, name: str | None = None) -> Part:
    """Return a link that looks like a button."""
    inside = [icon(name), html.Span(words)] if name else words
    return dcc.Link(inside, href=href, className="button")


def freshness(fresh: Freshness) -> list[Part]:
    """Return the dot, the word and what they mean."""
    parts: list[Part] = [
        html.Span(className=f"dot {fresh.tone}"),
        html.B(fresh.word),
        html.Span(fresh.detail, className="detail"),
    ]
    if fresh.badge:
        parts.append(html.Span(fresh.badge, className="tag badge"))
    return parts


def verdict_card(verdict: Verdict, actions: Sequence[Part] = ()) -> Part:
    """Return the page's answer; `actions` are links to the evidence."""
    notes: list[Part] = []
    for subject, sentence in verdict.notes:
        if subject:
            notes.append(html.B(subject))
        notes += [" ", sentence, " "]
    return html.Div(
        [
            icon(verdict.icon, 20),
            html.Div([html.H2(verdict.headline), html.P(notes) if notes else None]),
            html.Div(list(actions), className="actions") if actions else None,
        ],
        className=f"verdict {verdict.tone}",
    )


def kpi_strip(kpis: Sequence[Kpi]) -> list[Part]:
    """Return the figures under the verdict."""
    return [
        html.Div(
            [
                html.Div(term(kpi.label, kpi.term) if kpi.term else kpi.label, className="label"),
                html.Div(
                    [html.Span(kpi.value, className="num"), html.Small(kpi.unit)],
                    className=f"value {kpi.tone}",
                ),
                html.Div(kpi.note, className="note", title=kpi.note),
            ],
            className="kpi",
        )
        for kpi in kpis
    ]


def card(
    title: Any,
    body: Any,
    *,
    head: Sequence[Part] = (),
    aside: Any = None,
    name: str | None = None,
    className: str = "",
) -> Part:
    """Return a card: `aside` is said beside its title, `head` stands at the right of its head."""
    more = {"id": name} if name else {}
    return html.Section(
        [
            html.Header(
                [
                    html.H3(title),
                    html.Span(aside) if aside is not None else None,
                    html.Div(list(head), className="head-end") if head else None,
                ]
            ),
            *(body if isinstance(body, list) else [body]),
        ],
        className=f"card {className}".strip(),
        **more,
    )


def table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], *, numeric: Sequence[str] = ()
) -> Part:
    """Return a plain table; the first cell of a row is its head, `numeric` columns stand right."""
    right = [name in numeric for name in head]

    def cell(at: int, value: Any) -> Part:
        kind = "num" if right[at] else ""
        return (
            html.Th(value, scope="row", className=kind)
            if at == 0
            else html.Td(value, className=kind)
        )

    return html.Div(
        html.Table(
            [
                html.Thead(
                    html.Tr(
                        [
                            html.Th(name, scope="col", className="num" if right[at] else "")
                            for at, name in enumerate(head)
                        ]
                    )
                ),
                html.Tbody(
                    [html.Tr([cell(at, value) for at, value in enumerate(row)]) for row in rows]
                ),
            ],
            className="table",
        ),
        className="twin",
    )


def name(text: str, limit: int = 200) -> Part:
    """Return a name that is cut by the stylesheet where there is no room, whole in its hint."""
    return html.Span(cut(text, limit), className="name", title=cut(text, 300))


def nothing(words: Any, icon_name: str = "inbox") -> Part:
    """Return the line of a panel that has nothing to show, with the way out."""
    return html.Div([icon(icon_name), html.Span(words)], className="nothing")


def state(
    icon_name: str, title: str, said: Any, tone: str = "idle", bar: float | None = None
) -> Part:
    """Return a panel's state in words: partial, blind, incomplete ...; `bar` is how full."""
    return html.Div(
        [
            html.Div(icon_in(icon_name, tone), className="state-icon"),
            html.Div(
                [
                    html.B(title),
                    html.P(said),
                    html.Div(html.I(style={"width": f"{100 * bar:.0f}%"}), className="meter full")
                    if bar is not None
                    else None,
                ]
            ),
        ],
        className="panel-state",
    )


def notes(sentences: Sequence[str]) -> list[Part]:
    """Return what a link asked for that is not there, a line each."""
    return [html.P([icon("link-2-off"), html.Span(said)], className="aside") for said in sentences]


def graph(name: str, height: int, label: str) -> Part:
    """Return a graph in the wrapper (`<name>-box`) that gives it its words."""
    return html.Div(
        dcc.Graph(id=name, config=CONFIG, style={"height": f"{height}px"}, figure=blank(height)),
        id=f"{name}-box",
        className="graph",
        role="img",
        **{"aria-label": label},
    )


def skeleton(lines: int) -> Part:
    """Return bars in the shape of what is coming; the stylesheet shows them after 300 ms."""
    return html.Div([html.I() for _ in range(lines)], className="skeleton")


def _control(key: str, value: str, default: str) -> dict[str, str]:
    """Return the id of a control: what changes it writes `key` into the address."""
    return {"at": "control", "key": key, "was": value, "default": default}


def switch(
    key: str, value: str, options: Mapping[str, str], label: str, default: str | None = None
) -> Part:
    """Return a switch between a few values of the query's `key`; the default is the first."""
    first = next(iter(options)) if default is None else default
    return html.Div(
        dmc.SegmentedControl(
            id=_control(key, value, first),
            value=value,
            data=[{"value": option, "label": word} for option, word in options.items()],
            size="xs",
            withItemsBorders=False,
            transitionDuration=0,
        ),
        role="group",
        className="switch",
        **{"aria-label": label},
    )


def select(
    key: str, value: str, options: Mapping[str, str], label: str, default: str | None = None
) -> Part:
    """Return a list of values of the query's `key`, with its label inside."""
    first = next(iter(options), "") if default is None else default
    return dmc.Select(
        id=_control(key, value, first),
        value=value,
        data=[{"value": option, "label": cut(word, 80)} for option, word in options.items()],
        size="xs",
        allowDeselect=False,
        searchable=len(options) > 8,
        nothingFoundMessage="Nothing matches",
        maxDropdownHeight=320,
        leftSection=html.Span(label, className="select-label"),
        leftSectionWidth=f"{len(label) * 7 + 16}px",
        leftSectionPointerEvents="none",
        className="select",
        comboboxProps={"shadow": "md", "width": "max-content", "position": "bottom-end"},
        **{"aria-label": label},
    )


def csv_link(href: str) -> Part:
    """Return the link to a table's cells; `href` is the API's answer as CSV."""
    return html.A([icon("download"), html.Span("CSV")], href=href, className="ghost", download="")


def card_menu(*, csv: str | None = None, png: str | None = None, file: str = "driftline") -> Part:
    """Return a card's menu: CSV of its table, PNG of the graph `png`, a link to the view."""
    items = []
    if csv is not None:
        items.append(html.A([icon("download"), "CSV of the table"], href=csv, download=""))
    if png is not None:
        items.append(
            html.Button(
                [icon("image"), "PNG of the chart"],
                type="button",
                **{"data-png": png, "data-file": file},
            )
        )
    items.append(
        html.Button([icon("link"), "Copy link"], type="button", **{"data-copy-link": "view"})
    )
    return html.Details(
        [
            html.Summary(icon("ellipsis"), **{"aria-label": "More of this card"}),
            html.Div(items, className="menu-items"),
        ],
        className="menu",
    )


def copy_button(text: str, words: str = "Copy") -> Part:
    """Return a button that copies `text`."""
    return html.Button(
        [icon("copy"), html.Span(words)], type="button", className="ghost", **{"data-copy": text}
    )


def command(lines: str, prompt: str = "$") -> Part:
    """Return a command with a button that copies it, without its prompt sign."""
    return html.Div(
        [
            html.Code([html.Span(prompt, className="prompt"), html.Pre(lines)], tabIndex=0),
            dmc.CopyButton(
                value=lines,
                children="Copy",
                copiedChildren="Copied",
                size="compact-xs",
                variant="default",
                color="gray",
                copiedColor="gray",
            ),
        ],
        className="command",
    )


def error_panel(title: str, sentence: str, at_ms: int, request: str) -> Part:
    """Return what a page says when it could not be read; the id finds the line in the log."""
    return html.Div(
        [
            icon("circle-x", 16),
            html.Span([html.B(f"{title} "), sentence]),
            html.Span([html.Code(request), " · ", clock(at_ms)], className="num at"),
            html.Button(
                [icon("rotate-cw"), "Try again"],
                type="button",
                className="button",
                **{"data-retry": "now"},
            ),
        ],
        className="banner",
        role="alert",
    )


def stale_banner(fresh: Freshness, href: str) -> Part | None:
    """Return the banner of data that stopped, with the way to the pipeline; or nothing."""
    if fresh.alarm is None:
        return None
    return html.Div(
        [
            icon("clock", 16),
            html.Span([html.B(f"{fresh.headline} "), fresh.alarm]),
            link_button("Pipeline health", href, "activity"),
        ],
        className="banner",
        # Verdicts turn grey where this stands: nothing newer is known.
        **({"data-as-of": fresh.detail} if fresh.word == "Stale" else {}),
    )
