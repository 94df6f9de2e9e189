"""Which page an address opens: asked once before the first paint, and again at every move."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, State, no_update
from dash.exceptions import PreventUpdate
from flask import has_request_context, request
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dashboard import address, shell
from dashboard.filling import Filler, frame
from dashboard.pages import Page
from dashboard.pages.table import FIRST_STEPS, NOWHERE, PAGES
from dashboard.words import is_utc, shown, zone_name
from driftline.errors import StorageError
from monitor.storage import reads
from monitor.storage.engine import reading

# The cookie in which a browser says how it looks, and the most that it may say.
SCREEN = "driftline-screen"
MAX_SCREEN = 1_000


@dataclass(frozen=True)
class Place:
    """What an address opens, and what the shell says around it."""

    page: Page
    parts: tuple[str, ...]
    zone: ZoneInfo | None = None  # the model's, where one is named

    @property
    def stored(self) -> dict[str, str]:
        """What the browser keeps: the same for the same page at the same address."""
        title = f"{shown(self.page.title(self.parts))[:120]} · Driftline"
        return {"page": self.page.name, "title": title, "path": "/".join(self.parts)}

    @property
    def zones(self) -> list[dict[str, str]]:
        """The choices of the zone's switch."""
        local = zone_name(self.zone) if self.zone is not None else "Local"
        return [{"value": "utc", "label": "UTC"}, {"value": "local", "label": local}]

    @property
    def has_one_zone(self) -> bool:
        """Whether there is nothing to choose: the model's own time is UTC."""
        return self.zone is not None and is_utc(self.zone)


def place_of(engine: Engine, pathname: object) -> Place:
    """Return the page of an address; a database that cannot be read is left to the page to tell."""
    parts = address.path_parts(pathname)
    page = next((page for page in PAGES if page.is_at(parts)), NOWHERE)
    zone = None
    try:
        with reading(engine) as conn:
            if not parts and not reads.has_events(conn):
                page = FIRST_STEPS
            if parts[:1] == ("models",) and len(parts) > 1:
                zone = reads.zone_of(conn, parts[1])
    except (SQLAlchemyError, StorageError):
        pass
    return Place(page, parts, zone)


def install(app: Dash, engine: Engine, filler: Filler, *, with_logout: bool = False) -> None:
    """Give the app its layout and its router."""
    app.layout = lambda: _first(engine, filler, with_logout=with_logout)

    def routed(pathname: object, _version: object, _retry: object, before: object) -> Any:
        place = place_of(engine, pathname)
        if before == place.stored:
            raise PreventUpdate
        there = before.get("page") if isinstance(before, dict) else None
        return {
            # A page that is there already stays, and fills itself anew.
            "page": no_update if there == place.page.name else frame(place.page),
            "place": place.stored,
            "crumb": shell.crumbs(place.parts),
            "zones": place.zones,
            "has_one_zone": place.has_one_zone,
        }

    app.callback(
        output={
            "page": Output("page", "children"),
            "place": Output("place", "data"),
            "crumb": Output("crumb", "children"),
            "zones": Output("zone", "data"),
            "has_one_zone": Output("zone-box", "hidden"),
        },
        inputs={
            "pathname": Input("url", "pathname"),
            "_version": Input("version", "data"),
            "_retry": Input("retry", "data"),
        },
        state={"before": State("place", "data")},
    )(routed)


def _first(engine: Engine, filler: Filler, *, with_logout: bool) -> Any:
    """Return the shell around the page that asks for it, filled where its screen is known.

    One question and one drawing of the page less before it stands.
    """
    referrer = request.referrer if has_request_context() else None
    try:
        asks = urlsplit(referrer) if referrer else None
    except ValueError:
        asks = None
    if asks is None:
        return shell.layout(with_logout=with_logout)
    place = place_of(engine, asks.path)
    screen = _screen(request.cookies.get(SCREEN))
    search = f"?{asks.query}" if asks.query else ""
    return shell.layout(
        page=frame(place.page)
        if screen is None
        else filler.filled_frame(place.page, asks.path, search, screen),
        place=place.stored,
        crumb=shell.crumbs(place.parts),
        zones=place.zones,
        has_one_zone=place.has_one_zone,
        with_logout=with_logout,
    )


def _screen(said: str | None) -> dict[str, Any] | None:
    """Return what `assets/live.js` told of the screen when a page was left, if it did."""
    if not said or len(said) > MAX_SCREEN:
        return None
    try:
        found = json.loads(unquote(said))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
