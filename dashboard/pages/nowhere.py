"""An address that no page has: says so, and where to go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from dashboard.look import Look
from dashboard.pages import Page
from dashboard.parts import link_button
from dashboard.shell import PLACES


def _skeleton() -> Any:
    return html.Div(
        [
            html.H1("There is no such page"),
            html.P("The link may be cut short, or of another release.", className="lead"),
            html.Div([link_button(word, href, icon) for href, icon, word in PLACES]),
        ],
        className="not-here",
    )


def _fill(_look: Look) -> Mapping[str, Any]:
    return {}


PAGE = Page(
    name="nowhere",
    pattern=("?",),
    skeleton=_skeleton,
    slots={},
    fill=_fill,
    title=lambda _parts: "No such page",
)
