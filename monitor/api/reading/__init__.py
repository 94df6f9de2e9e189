"""Reading: what `monitor.storage.reads` and `monitor.views` find, as JSON or a table.

Nothing here writes or decides. One module per noun.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends
from sqlalchemy.engine import Engine

from monitor.api.answering import Answering
from monitor.api.asking import only_known
from monitor.api.reading import (
    compared,
    deliveries,
    groups,
    handled,
    incidents,
    judged,
    overview,
    registered,
    streams,
    timeline,
)
from monitor.clock import Clock


def router(engine: Engine, clock: Clock, checkpoint_interval_s: float) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1", dependencies=[Depends(only_known)])
    answering = Answering(engine)
    for noun in (overview, registered, judged, timeline, compared, incidents, groups):
        noun.add(routes, answering)
    streams.add(routes, answering, clock, checkpoint_interval_s)
    deliveries.add(routes, answering, clock)
    handled.add(routes, answering, clock)
    return routes
