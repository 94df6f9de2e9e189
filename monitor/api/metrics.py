"""`/metrics` for Prometheus, of the web process and of a role that runs alone.

Both stand behind the same layers: the guard knows whom Host may name, and where there is a token
nobody reads series without it. `/healthz` and `/readyz` are open: whoever restarts processes has
no token.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client.registry import CollectorRegistry

from monitor.api.guard import LOOPBACK, MAX_FORM_BYTES, Guard
from monitor.api.problems import MEDIA_TYPE, problem_body
from monitor.api.sessions import Access
from monitor.clock import SystemClock
from monitor.metrics.exposing import exposition
from monitor.metrics.working import Working

PATH: Final = "/metrics"
START_S: Final = 10.0


class NotServed(Exception):
    """The server of a role's series cannot listen."""


def router(registry: CollectorRegistry) -> APIRouter:
    """Return the route that answers a scrape with a registry's series."""
    routes = APIRouter()

    @routes.get(PATH, include_in_schema=False)
    def metrics(request: Request) -> Response:
        body, kind = exposition(registry, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind, "cache-control": "no-store"})

    return routes


def create_role_app(working: Working, *, token: str | None, is_loopback: bool) -> FastAPI:
    """Return the app of a role that runs alone: its series, whether it lives, whether it is ready.

    Parameters
    ----------
    token
        What a scrape must send; None where only this machine asks.
    is_loopback
        Whether only this machine's names may be asked for.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router(working.registry))

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> Response:
        why = working.not_ready()
        if why is None:
            return Response(json.dumps({"status": "ready"}), media_type="application/json")
        said = problem_body(503, "Not ready", f"{why}.", "it goes on by itself when that is back")
        return Response(json.dumps(said), 503, media_type=MEDIA_TYPE)

    if token is not None:
        from monitor.api.auth import Authentication

        app.add_middleware(Authentication, access=Access(token), clock=SystemClock())
    app.add_middleware(
        Guard,
        hosts=LOOPBACK if is_loopback else None,
        limits=(("/", MAX_FORM_BYTES),),
        policy="default-src 'none'; frame-ancestors 'none'",
    )
    return app


@contextmanager
def served(app: FastAPI, host: str, port: int) -> Iterator[None]:
    """Serve the app from a thread of its own until the block ends.

    Raises
    ------
    NotServed
        The address cannot be listened on.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=host, port=port, proxy_headers=False, log_level="warning",
            access_log=False, timeout_graceful_shutdown=1, lifespan="off",
        )
    )  # fmt: skip
    thread = threading.Thread(target=_run, args=(server,), name="metrics", daemon=True)
    thread.start()
    deadline_s = START_S
    while not server.started and thread.is_alive() and deadline_s > 0:
        thread.join(0.05)
        deadline_s -= 0.05
    if not server.started:
        raise NotServed(f"a port that can be listened on at {host}")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(3.0)


def _run(server: uvicorn.Server) -> None:
    """Run it; uvicorn ends its process where it cannot listen, and this is not its process."""
    try:
        server.run()
    except SystemExit:
        return
