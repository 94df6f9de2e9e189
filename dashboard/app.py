"""The Dash app: one shell, a router, a heartbeat, and one callback for each page. Read only.

Nothing here writes anything. What the browser sends is checked; a hidden tab
asks nothing (see `assets/live.js`).
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from dash import ALL, Dash, Input, Output
from sqlalchemy.engine import Engine

from dashboard import finding, intake, pulse, routing
from dashboard.filling import Filler
from dashboard.login import SCHEME
from dashboard.pages.table import FIRST_STEPS, NOWHERE, PAGES
from driftline.program import command
from monitor.clock import Clock, SystemClock

# Before anything is painted: the scheme. And while the libraries load, what they will ask first
# is asked (`assets/early.js` hands it over).
BOOT = (
    f"{SCHEME};(function(){{"
    "window.driftlineEarly={};['_dash-layout','_dash-dependencies'].forEach(function(n){"
    "window.driftlineEarly[n]=fetch('/'+n,{credentials:'same-origin',"
    "headers:{Accept:'application/json'}})})})()"
)
KEEP_ASSETS_S = 365 * 86_400
INDEX = f"""<!DOCTYPE html>
<html lang="en">
<head>
{{%metas%}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{%title%}}</title>
<link rel="icon" type="image/svg+xml" href="/assets/mark.svg">
<script>{BOOT}</script>
{{%css%}}
</head>
<body>
<noscript>This page needs JavaScript; `{command("status")}` says the same.</noscript>
{{%app_entry%}}
<footer>{{%config%}}{{%scripts%}}{{%renderer%}}</footer>
</body>
</html>"""


def create(
    engine: Engine,
    *,
    checkpoint_interval_s: float = 30.0,
    clock: Clock | None = None,
    with_logout: bool = False,
) -> Dash:
    """Return the dashboard; its `server` is a WSGI app. `with_logout` where people log in."""
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
        suppress_callback_exceptions=True,
    )
    clock = clock or SystemClock()
    # Every asset's address carries when it was written, so a browser need not ask again.
    app.server.config["SEND_FILE_MAX_AGE_DEFAULT"] = KEEP_ASSETS_S
    filler = Filler(engine, clock, checkpoint_interval_s)
    for page in (*PAGES, FIRST_STEPS, NOWHERE):
        filler.install(app, page)
        if page.register is not None:
            page.register(app)
    routing.install(app, engine, filler, with_logout=with_logout)
    pulse.install(app, engine, clock, checkpoint_interval_s)
    finding.install(app, engine)
    intake.install(app)
    _in_the_browser(app)
    return app


def script_hashes(app: Dash) -> list[str]:
    """Return the hashes of the inline scripts, for a content security policy."""
    boot = b64encode(sha256(BOOT.encode()).digest()).decode()
    return [*app.csp_hashes(), f"'sha256-{boot}'"]


def _in_the_browser(app: Dash) -> None:
    """What the browser does alone: see `assets/live.js`."""
    app.clientside_callback(
        "function (_path, zone) { return window.driftline.screen(zone); }",
        Output("screen", "data"),
        Output("zone", "value"),
        Input("url", "href"),
        Input("zone", "value"),
    )
    app.clientside_callback(
        "function (place) { return window.driftline.arrived(place); }",
        Output("place", "storage_type"),
        Input("place", "data"),
    )
    app.clientside_callback(
        "function (pulse) { return window.driftline.heard(pulse); }",
        Output("pulse", "storage_type"),
        Input("pulse", "data"),
    )
    app.clientside_callback(
        "function () { return window.driftline.control(arguments[0]); }",
        Output("written", "data"),
        Input({"at": "control", "key": ALL, "was": ALL, "default": ALL}, "value"),
        prevent_initial_call=True,
    )
