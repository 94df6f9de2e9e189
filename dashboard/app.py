"""The Dash app: one page, read only, that follows the database by its data version.

Two callbacks: a small one every two seconds (how fresh, and has anything
changed?), and one that fills the page when the answer is yes. Neither writes
anything. A hidden tab asks nothing (see `assets/live.js`).
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, quote

from dash import Dash, Input, Output, State, no_update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dashboard import fill
from dashboard.freshness import Sample, judge
from dashboard.page import RANGES, layout
from dashboard.parts import error_panel, freshness
from dashboard.tokens import Scheme
from dashboard.view import View, load
from driftline.errors import StorageError
from monitor.clock import Clock, SystemClock
from monitor.storage import reads
from monitor.storage.engine import reading

# Before anything is painted: the scheme the user chose, or the system's.
BOOT = (
    "(function(){var s=null;try{s=localStorage.getItem('mantine-color-scheme-value')}catch(e){}"
    "if(s!=='light'&&s!=='dark'){s=matchMedia('(prefers-color-scheme: dark)').matches?'dark':"
    "'light'}document.documentElement.setAttribute('data-mantine-color-scheme',s)})()"
)
INDEX = f"""<!DOCTYPE html>
<html lang="en">
<head>
{{%metas%}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{%title%}}</title>
<link rel="icon" type="image/svg+xml" href="assets/mark.svg">
<script>{BOOT}</script>
{{%css%}}
</head>
<body>
<noscript>This page needs JavaScript; `driftline status` says the same.</noscript>
{{%app_entry%}}
<footer>{{%config%}}{{%scripts%}}{{%renderer%}}</footer>
</body>
</html>"""
DEAD_LETTERS_SHOWN = 5
VIEWS_KEPT = 16


class Views:
    """Pages read for one data version, so that ten open tabs cost one read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[tuple[Any, ...], View | None] = OrderedDict()
        self._lock = Lock()

    def get(
        self, version: str, model: str | None, model_version: str | None, days: int | None
    ) -> View | None:
        """Return the page's view, read at most once per data version."""
        key = (version, model, model_version, days)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with reading(self._engine) as conn:
            view = load(conn, model=model, version=model_version, days=days)
        with self._lock:
            self._kept[key] = view
            while len(self._kept) > VIEWS_KEPT:
                self._kept.popitem(last=False)
        return view


def create(
    engine: Engine,
    *,
    checkpoint_interval_s: float = 30.0,
    clock: Clock | None = None,
) -> Dash:
    """Return the dashboard; its `server` is a WSGI app."""
    app = Dash(
        __name__,
        title="Driftline",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=INDEX,
        serve_locally=True,
        add_log_handler=False,
        enable_mcp=False,
        websocket_callbacks=False,
        suppress_callback_exceptions=False,
    )
    app.layout = layout()
    views = Views(engine)
    clock = clock or SystemClock()
    _pulse(app, engine, checkpoint_interval_s, clock)
    _page(app, views, clock)
    app.clientside_callback(
        "function () { return [window.driftline.screen(), window.driftline.range()]; }",
        Output("screen", "data"),
        Output("range", "value"),
        Input("url", "pathname"),
    )
    app.clientside_callback(
        "function (range) { return window.driftline.remember('range', range); }",
        Output("range", "className"),
        Input("range", "value"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "function (look) { return [look !== 'heatmap', look !== 'table']; }",
        Output("chart", "hidden"),
        Output("twin", "hidden"),
        Input("look", "value"),
    )
    return app


def script_hashes(app: Dash) -> list[str]:
    """Return the hashes of the inline scripts, for a content security policy."""
    boot = b64encode(sha256(BOOT.encode()).digest()).decode()
    return [*app.csp_hashes(), f"'sha256-{boot}'"]


def link(model: str) -> str:
    """Return the address of a model's page."""
    return f"/?model={quote(model, safe='')}"


def _query(search: str | None) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs((search or "").lstrip("?")).items()}


def _pulse(app: Dash, engine: Engine, checkpoint_interval_s: float, clock: Clock) -> None:
    def beat(_tick: int | None, version: str | None, pulse: dict[str, Any] | None) -> Any:
        now_ms = clock.now_ms()
        try:
            with reading(engine) as conn:
                found = f"{reads.data_version(conn)}.{reads.registry_revision(conn)}"
                seen = reads.watermark_ms(conn)
                positions = reads.positions(conn)
                mark = [found, *(p.next_offset for p in positions), *(p.seen_ms for p in positions)]
                is_new = pulse is None or pulse.get("mark") != mark
                counts = reads.outcomes(conn) if is_new else {}
                gaps = reads.gaps(conn) if is_new else []
                deficits = reads.deficits(conn) if is_new else []
                newest = reads.dead_letters(conn, limit=DEAD_LETTERS_SHOWN) if is_new else []
        except (SQLAlchemyError, StorageError) as error:
            nothing = dict.fromkeys(("version", "pulse", "freshness", "pipeline", "dead", "checks"))
            said = error_panel(fill.database_fault(error), now_ms)
            return {**dict.fromkeys(nothing, no_update), "banner": said}
        # The watermark moves with checkpoints, not with ticks: its speed is that between moves.
        at_ms, before = now_ms, None
        if pulse and pulse.get("watermark_ms") is not None:
            if pulse["watermark_ms"] == seen:
                at_ms = pulse["at_ms"]
                before = Sample(*pulse["before"]) if pulse.get("before") else None
            else:
                before = Sample(pulse["at_ms"], pulse["watermark_ms"])
        fresh = judge(
            positions,
            watermark_ms=seen,
            now_ms=now_ms,
            checkpoint_interval_s=checkpoint_interval_s,
            before=before,
        )
        panels: dict[str, Any] = dict.fromkeys(("pipeline", "dead", "checks"), no_update)
        if is_new:
            panels = fill.pipeline_panels(engine, positions, counts, gaps, deficits, newest, now_ms)
        return {
            "version": no_update if found == version else found,
            "pulse": {
                "mark": mark,
                "at_ms": at_ms,
                "watermark_ms": seen,
                "before": [before.at_ms, before.watermark_ms] if before else None,
            },
            "freshness": freshness(fresh),
            "banner": fill.stale_banner(fresh),
            **panels,
        }

    app.callback(
        output={
            "version": Output("version", "data"),
            "pulse": Output("pulse", "data"),
            "freshness": Output("freshness", "children"),
            "banner": Output("banner", "children"),
            "pipeline": Output("pipeline", "children"),
            "dead": Output("dead", "children"),
            "checks": Output("checks", "children"),
        },
        inputs={"_tick": Input("tick", "n_intervals")},
        state={"version": State("version", "data"), "pulse": State("pulse", "data")},
    )(beat)


def _page(app: Dash, views: Views, clock: Clock) -> None:
    def filled(
        version: str | None,
        screen: dict[str, Any] | None,
        span: str | None,
        search: str | None,
        chosen: str | None,
    ) -> Any:
        if version is None or screen is None or span is None:
            return dict.fromkeys(fill.TARGETS, no_update)
        asked = _query(search)
        try:
            # A page that was opened with the worst model stays with it.
            model = asked.get("model", chosen)
            view = views.get(version, model, asked.get("version"), RANGES.get(span))
        except (SQLAlchemyError, StorageError) as error:
            said = error_panel(fill.database_fault(error), clock.now_ms())
            return {**dict.fromkeys(fill.TARGETS, no_update), "page_error": said}
        scheme: Scheme = "dark" if screen.get("scheme") == "dark" else "light"
        return fill.page(view, scheme, asked, link, is_narrow=bool(screen.get("narrow")))

    app.callback(
        output={key: Output(*target) for key, target in fill.TARGETS.items()},
        inputs={
            "version": Input("version", "data"),
            "screen": Input("screen", "data"),
            "span": Input("range", "value"),
            "search": Input("url", "search"),
        },
        state={"chosen": State("chosen", "data")},
    )(filled)
