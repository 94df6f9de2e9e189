"""Reading: what `monitor.storage.reads` and `monitor.views` find, as JSON or a table.

Nothing here writes or decides. One module per noun.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends
from sqlalchemy.engine import Engine

from monitor.api.answering import Answering
from monitor.api.asking import only_known
from monitor.api.reading import incidents, judged, registered, streams


def router(engine: Engine) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1", dependencies=[Depends(only_known)])
    answering = Answering(engine)
    for noun in (registered, judged, incidents, streams):
        noun.add(routes, answering)
    return routes
