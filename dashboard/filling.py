"""The one callback of a page: look, fill, send what changed.

Whatever the browser sends is checked or ignored. A page that cannot be read
says so with an id that stands in the log; what it showed before stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import structlog
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dashboard import address, parts
from dashboard.look import Cache, Look, Screen
from dashboard.pages import Page
from dashboard.words import cut
from driftline.errors import StorageError
from monitor.clock import Clock
from monitor.storage import reads
from monitor.storage.engine import reading
from monitor.views import scope

DIGEST_BYTES = 9
DIGEST = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")
log = structlog.get_logger(__name__)
NOT_HERE = {
    "model": "There is no model {name}",
    "feature": "This model has no feature {name}",
    "incident": "There is no incident {name}",
    "reference": "There is no reference {name}",
    "retrain": "There is no request {name} for a retraining",
}


class Filler:
    """Fills pages from one database; what it read is kept for one data version."""

    def __init__(self, engine: Engine, clock: Clock, checkpoint_interval_s: float) -> None:
        self._engine = engine
        self._clock = clock
        self._checkpoint_interval_s = checkpoint_interval_s
        self._cache = Cache()

    def install(self, app: Dash, page: Page) -> None:
        """Register the page's callback; its own components are `<name>-seen` and such."""
        outputs = {key: Output(*slot) for key, slot in page.slots.items()}
        outputs["_seen"] = Output(f"{page.name}-seen", "data")
        outputs["_notice"] = Output(f"{page.name}-notice", "children")
        outputs["_hidden"] = Output(f"{page.name}-body", "hidden")

        def filled(
            version: object,
            pathname: object,
            search: object,
            screen: object,
            retry: object,
            seen: object,
        ) -> dict[str, Any]:
            answer: dict[str, Any] = dict.fromkeys(outputs, no_update)
            route = address.path_parts(pathname)
            if not page.is_at(route) or not isinstance(screen, dict):
                raise PreventUpdate
            before = seen if isinstance(seen, dict) else {}
            asked = digest([version, pathname, search, screen, retry])
            if before.get("asked") == asked:
                raise PreventUpdate
            values, of_version, is_whole = self._values(page, route, search, screen)
            found = {key: digest(value) for key, value in values.items()}
            known = digests(before.get("slots"), page.slots)
            answer |= {key: value for key, value in values.items() if known.get(key) != found[key]}
            answer["_seen"] = _seen(asked if is_whole else None, of_version, {**known, **found})
            return answer

        app.callback(
            output=outputs,
            inputs={
                "version": Input("version", "data"),
                "pathname": Input("url", "pathname"),
                "search": Input("url", "search"),
                "screen": Input("screen", "data"),
                "retry": Input("retry", "data"),
            },
            state={"seen": State(f"{page.name}-seen", "data")},
        )(filled)
        app.clientside_callback(
            "function (seen) { return window.driftline.filled(seen); }",
            Output(f"{page.name}-seen", "storage_type"),
            Input(f"{page.name}-seen", "data"),
        )

    def filled_frame(
        self, page: Page, pathname: str, search: str, screen: Mapping[str, Any]
    ) -> Any:
        """Return a page's skeleton filled already, as its callback would answer its first question.

        That question is then answered by "nothing new". What could not be read is left to it.
        """
        made = frame(page)
        route = address.path_parts(pathname)
        values, version, is_whole = self._values(page, route, search, screen)
        if not is_whole:
            return made
        places = {
            "_notice": (f"{page.name}-notice", "children"),
            "_hidden": (f"{page.name}-body", "hidden"),
            **page.slots,
        }
        by_id = {
            part.id: part
            for part in made._traverse()
            if isinstance(part, Component) and isinstance(getattr(part, "id", None), str)
        }
        for key, value in values.items():
            name, what = places[key]
            setattr(by_id[name], what, value)
        asked = digest([None, pathname, search, screen, None])
        found = {key: digest(value) for key, value in values.items()}
        by_id[f"{page.name}-seen"].data = _seen(asked, version, found)
        return made

    def _values(
        self, page: Page, route: tuple[str, ...], search: object, screen: object
    ) -> tuple[dict[str, Any], str | None, bool]:
        """Return what goes into the slots, its data version, and whether the page could be made.

        Without a version nothing was read, and the browser asks again with its next heartbeat.
        """
        now_ms = self._clock.now_ms()
        version = None
        asked = address.Asked(search)
        try:
            with reading(self._engine) as conn:
                version = reads.version_mark(conn)
                look = Look(
                    conn=conn,
                    engine=self._engine,
                    path=route,
                    asked=asked,
                    screen=Screen.of(screen),
                    now_ms=now_ms,
                    checkpoint_interval_s=self._checkpoint_interval_s,
                    model_zone=reads.zone_of(conn, route[1])
                    if len(route) > 1 and route[0] == "models"
                    else None,
                    version=version,
                    cache=self._cache,
                )
                values = dict(page.fill(look))
        except scope.NoSuch as missing:
            return {"_notice": not_here(missing, route), "_hidden": True}, version, True
        except (SQLAlchemyError, StorageError) as error:
            return {"_notice": _unreadable(error, page.name, now_ms)}, None, False
        except Exception as error:
            log.exception("a page could not be filled", page=page.name)
            return {"_notice": _broken(error, page.name, now_ms)}, version, False
        if unknown := set(values) - set(page.slots):
            raise KeyError(f"{page.name} fills {sorted(unknown)}, which are no slots of its")
        return {**values, "_notice": parts.notes(asked.notes), "_hidden": False}, version, True


def frame(page: Page) -> Any:
    """Return a page's skeleton with what its callback needs beside it."""
    return html.Div(
        [
            dcc.Store(id=f"{page.name}-seen"),
            html.Div(id=f"{page.name}-notice"),
            html.Div(page.skeleton(), id=f"{page.name}-body", className="page-body"),
        ],
        className=f"page page-{page.name}",
    )


def _seen(asked: str | None, version: str | None, slots: Mapping[str, str]) -> dict[str, Any]:
    """Return what the browser keeps of an answer, and sends back with its next question."""
    return {"asked": asked, "version": version, "slots": dict(slots)}


def digest(value: Any) -> str:
    """Return a name of a value: the same for the same, as the browser would get it."""
    text = to_json_plotly(value) if not isinstance(value, str) else json.dumps(value)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


def digests(said: object, keys: Collection[str]) -> dict[str, str]:
    """Return the digests by `keys` that a browser sent back, and nothing else of what it sent."""
    if not isinstance(said, dict):
        return {}
    return {
        key: value
        for key in (*keys, "_notice", "_hidden")
        if isinstance(value := said.get(key), str) and DIGEST.fullmatch(value)
    }


def not_here(missing: scope.NoSuch, route: tuple[str, ...]) -> Any:
    """Return the page of a name that nothing has, with the nearest names as links."""
    title = NOT_HERE.get(missing.kind, f"There is no {missing.kind} {{name}}")
    near = [
        html.Li(parts.link(cut(word, 80), href)) for word, href in _nearest(missing, route) if word
    ]
    return html.Div(
        [
            html.H1(title.format(name=f"“{cut(missing.name, 80)}”")),
            html.P(
                "Did you mean one of these?"
                if near
                else "It may have been renamed or removed, or the link is cut short.",
                className="lead",
            ),
            html.Ul(near, className="nearest") if near else None,
            parts.link_button("Overview", "/", "layout-dashboard"),
        ],
        className="not-here",
    )


def _nearest(missing: scope.NoSuch, route: tuple[str, ...]) -> list[tuple[str, str]]:
    if missing.kind == "model":
        return [(name, address.model(name)) for name in missing.nearest]
    if missing.kind == "feature" and len(route) > 1:
        return [(name, address.feature(route[1], name)) for name in missing.nearest]
    if missing.kind == "incident":
        return [(f"#{name}", address.to("incidents", name)) for name in missing.nearest]
    if missing.kind == "reference":
        return [(name, address.reference(name)) for name in missing.nearest]
    return [(name, "") for name in missing.nearest]


def first_line(error: BaseException) -> str:
    """Return what went wrong in one line, without the inside of the database's driver."""
    origin = getattr(error, "orig", None) or error
    return cut(str(origin).splitlines()[0] if str(origin) else type(origin).__name__, 200)


def _unreadable(error: BaseException, page: str, now_ms: int) -> Any:
    request = uuid4().hex[:8]
    log.warning("the database could not be read", page=page, request=request, error=repr(error))
    return parts.error_panel(
        "The database could not be read.",
        f"{first_line(error)}. What is shown is the last good answer.",
        now_ms,
        request,
    )


def _broken(error: BaseException, page: str, now_ms: int) -> Any:
    request = uuid4().hex[:8]
    log.error("a page is broken", page=page, request=request, error=repr(error))
    return parts.error_panel(
        "This page could not be made.",
        "That is a fault of Driftline; the server's log has the details under this id.",
        now_ms,
        request,
    )


def checked(value: object) -> Mapping[str, Any]:
    """Return a mapping that a browser sent, or an empty one."""
    return value if isinstance(value, dict) else {}
