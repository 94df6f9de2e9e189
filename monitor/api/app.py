"""The web process: one ASGI app with the API, health checks and the dashboard.

The guard is outermost, so that nothing behind it is reached by a foreign Host; the login is
next, so that nothing behind it is reached by a stranger.
"""

from __future__ import annotations

from collections.abc import Sequence

from a2wsgi import WSGIMiddleware
from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from sqlalchemy.engine import Engine

from driftline.delivering import Delivery
from monitor.alerts.guard import Network
from monitor.api import (
    deliveries,
    endpoints,
    events,
    handling,
    hooks,
    letters,
    metrics,
    models,
    openapi,
    problems,
    promotions,
    reading,
    registering,
    retraining,
    routes,
    silences,
    trials,
    uploads,
)
from monitor.api.answers.common import Alive
from monitor.api.guard import (
    LOOPBACK,
    MAX_BODY_BYTES,
    MAX_FORM_BYTES,
    MAX_REFERENCE_BYTES,
    Guard,
    origin_of,
)
from monitor.api.proxy import BehindProxy
from monitor.api.sessions import Access
from monitor.clock import Clock, SystemClock
from monitor.metrics.stored import Stored
from monitor.storage import engine as storage

# Threads that run the dashboard's callbacks; each holds a database connection while it reads.
DASHBOARD_THREADS = 6


def create_app(
    engine: Engine,
    *,
    with_dashboard: bool = True,
    allowed_hosts: frozenset[str] | None = LOOPBACK,
    token: str | None = None,
    read_token: str | None = None,
    is_behind_proxy: bool = False,
    public_url: str = "",
    checkpoint_interval_s: float = 30.0,
    idle_timeout_s: float = 60.0,
    alerts_allow: Sequence[Network] = (),
    delivery: Delivery | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """Return the ASGI app.

    Parameters
    ----------
    engine
        An upgraded database; `/readyz` says when it is not.
    with_dashboard
        Mount the dashboard at "/".
    allowed_hosts
        Names that the Host header may carry; this machine's loopback names by default.
    token
        What everybody must give, see `monitor.api.auth`; None answers all who reach it, which
        only loopback may.
    read_token
        What those give who may look and change nothing; beside `token` alone.
    is_behind_proxy
        Believe the nearest proxy's X-Forwarded-For and X-Forwarded-Proto.
    public_url
        Where people open the pages, if a proxy sends on under another name or port: pages of
        there may write, too.
    checkpoint_interval_s
        How often consumers check in: the dashboard measures "behind" and "stale" by it.
    idle_timeout_s
        When the evaluator takes a partition for idle: `/metrics` measures its delay by it.
    alerts_allow
        Networks that endpoints may have though they are private (`alerts.allow`).
    delivery
        Where events that come over HTTP are written; None refuses them.
    clock
        The wall clock of registrations and freshness.
    """
    clock = clock or SystemClock()
    app = FastAPI(
        title="Driftline",
        version="1",
        openapi_url="/api/v1/openapi.json",
        # The documentation page would load its scripts from another site.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    openapi.describe(app)
    problems.install(app)
    actor = "api:token" if token is not None else "api:loopback"
    app.include_router(registering.router(engine, clock, actor=actor))
    app.include_router(endpoints.router(engine, clock, alerts_allow, actor=actor))
    # Before what deletes a model: a model's name may have slashes in it.
    app.include_router(routes.router(engine, clock, actor=actor))
    app.include_router(promotions.router(engine, clock, actor=actor))
    app.include_router(hooks.router(engine, clock, actor=actor, web_url=public_url))
    app.include_router(retraining.router(engine, clock, actor=actor, web_url=public_url))
    app.include_router(models.router(engine, clock, actor=actor, web_url=public_url))
    app.include_router(deliveries.router(engine, clock, actor=actor))
    app.include_router(trials.router(engine, clock, actor=actor))
    app.include_router(events.router(clock, delivery))
    app.include_router(uploads.router(engine, clock, actor=actor))
    app.include_router(letters.router(engine, clock, delivery, actor=actor))
    app.include_router(handling.router(engine, clock, actor=actor))
    app.include_router(silences.router(engine, clock, actor=actor))
    app.include_router(reading.router(engine, clock, checkpoint_interval_s))
    _health(app, engine)
    measured = Stored(
        engine,
        clock,
        idle_timeout_s=idle_timeout_s,
        stalled_after_s=max(90.0, 3 * checkpoint_interval_s),
    )
    app.include_router(metrics.router(measured.registry))

    @app.api_route(
        "/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )  # fmt: skip
    def nothing_here(rest: str, request: Request) -> None:
        raise problems.Problem(
            404, "There is nothing here", f"{request.method} /api/{rest[:200]} is not served.",
            mend="see /api/v1/openapi.json for what is",
        )  # fmt: skip

    public = origin_of(public_url)
    scripts: list[str] = []
    if with_dashboard:
        # Dash takes a second to import: who asks for the API alone need not wait.
        import dashboard.app

        page = dashboard.app.create(
            engine,
            checkpoint_interval_s=checkpoint_interval_s,
            clock=clock,
            with_logout=token is not None,
        )
        scripts = dashboard.app.script_hashes(page)
        app.mount("/", WSGIMiddleware(page.server, workers=DASHBOARD_THREADS))
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)
    # What is added last is outermost.
    if token is not None:
        from dashboard import login
        from monitor.api.auth import Authentication

        scripts = [*scripts, login.SCRIPT_HASH]
        access = Access(token, read_token)
        app.add_middleware(Authentication, access=access, clock=clock, public=public)
    app.add_middleware(
        Guard,
        hosts=allowed_hosts,
        limits=(
            ("/api/v1/references", MAX_REFERENCE_BYTES),
            ("/api/v1/events", events.MAX_EVENTS_BYTES),
            ("/api/v1/uploads", uploads.MAX_CHUNK_BYTES),
            (hooks.OPEN, hooks.MAX_HOOK_BYTES),
            ("/login", MAX_FORM_BYTES),
            ("/", MAX_BODY_BYTES),
        ),
        policy=content_policy(scripts, has_forms=token is not None),
        public=public,
    )
    if is_behind_proxy:
        app.add_middleware(BehindProxy)
    return app


def content_policy(script_hashes: list[str], *, has_forms: bool = False) -> str:
    """Return the content security policy: this origin and the page's own inline scripts.

    Inline styles stay allowed: Plotly and Mantine write them. Only logging in and out are forms.
    """
    parts = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", *script_hashes]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'" if has_forms else "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _health(app: FastAPI, engine: Engine) -> None:
    @app.get("/healthz", tags=["service"], summary="Is it alive?", responses=openapi.problems(421))
    def healthz() -> Alive:
        """Say that the process answers."""
        return Alive(status="alive")

    @app.get(
        "/readyz", tags=["service"], summary="Is it ready?", responses=openapi.problems(421, 503)
    )
    def readyz() -> Alive:
        """Say whether the database is there, with this release's schema.

        Pages and API are ready though counting has stopped.
        """
        storage.check_schema(engine)
        return Alive(status="ready")
