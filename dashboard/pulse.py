"""The heartbeat: every two seconds one small question, and whether anything is new.

It fills what stands around the page: freshness, banner, models, the number of
firing incidents. The browser lets the page ask again only when the data version
differs from the one it shows (`heard` in `assets/live.js`): no page waits for it.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, State, no_update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from dashboard import address, parts, shell
from dashboard.filling import checked, digest, digests, first_line
from dashboard.freshness import Sample, judge
from dashboard.look import Screen
from driftline.errors import StorageError
from monitor.clock import Clock
from monitor.storage import reads, service_incidents
from monitor.storage.engine import reading
from monitor.views.models import models

OUTPUTS = {
    "pulse": ("pulse", "data"),
    "freshness": ("freshness", "children"),
    "banner": ("banner", "children"),
    "models": ("models", "children"),
    "firing": ("firing", "children"),
}


def install(app: Dash, engine: Engine, clock: Clock, checkpoint_interval_s: float) -> None:
    """Register the heartbeat."""

    def beat(
        _tick: object, _retry: object, pulse: object, screen: object, pathname: object
    ) -> dict[str, Any]:
        now_ms = clock.now_ms()
        answer: dict[str, Any] = dict.fromkeys(OUTPUTS, no_update)
        before = checked(pulse)
        try:
            with reading(engine) as conn:
                version = reads.version_mark(conn)
                seen = reads.watermark_ms(conn)
                positions = reads.positions(conn)
                zone = _zone(conn, Screen.of(screen), address.path_parts(pathname))
                listed = models(conn) if before.get("version") != version else None
                # No data version grows when an endpoint is switched off.
                own = len(service_incidents.listed(conn, only_open=True))
        except (SQLAlchemyError, StorageError) as error:
            answer["banner"] = parts.error_panel(
                "The database could not be read.",
                f"{first_line(error)}. What is shown is the last good answer.",
                now_ms,
                uuid4().hex[:8],
            )
            answer["pulse"] = None
            return answer
        sample = _sample(before)
        at_ms, earlier = now_ms, None
        # The watermark moves with checkpoints, not with ticks: its speed is that between moves.
        if sample is not None:
            if sample.watermark_ms == seen:
                at_ms, earlier = sample.at_ms, _sample(checked(before.get("earlier")))
            else:
                earlier = sample
        fresh = judge(
            positions,
            watermark_ms=seen,
            now_ms=now_ms,
            checkpoint_interval_s=checkpoint_interval_s,
            before=earlier,
            zone=zone,
        )
        said = {
            "freshness": parts.freshness(fresh),
            "banner": parts.stale_banner(fresh, "/pipeline"),
        }
        firing = listed.firing if listed is not None else before.get("firing")
        firing = firing if isinstance(firing, int) else 0
        said["firing"] = str(firing + own or "")
        if listed is not None:
            said["models"] = shell.model_links(listed.lines)
        marks = digests(before.get("marks"), OUTPUTS)
        found = {key: digest(value) for key, value in said.items()}
        answer |= {key: value for key, value in said.items() if marks.get(key) != found[key]}
        answer["pulse"] = {
            "version": version,
            "at_ms": at_ms,
            "watermark_ms": seen,
            "firing": firing,
            "earlier": {"at_ms": earlier.at_ms, "watermark_ms": earlier.watermark_ms}
            if earlier
            else None,
            "marks": {**marks, **found},
        }
        return answer

    app.callback(
        output={key: Output(*slot) for key, slot in OUTPUTS.items()},
        inputs={"_tick": Input("tick", "n_intervals"), "_retry": Input("retry", "data")},
        state={
            "pulse": State("pulse", "data"),
            "screen": State("screen", "data"),
            "pathname": State("url", "pathname"),
        },
    )(beat)


def _zone(conn: Connection, screen: Screen, path: tuple[str, ...]) -> ZoneInfo:
    """Return the zone that the user chose, as the page tells its times in it."""
    is_model = screen.is_local and len(path) > 1 and path[0] == "models"
    return screen.zone(reads.zone_of(conn, path[1]) if is_model else None)


def _sample(said: Any) -> Sample | None:
    at_ms, watermark_ms = said.get("at_ms"), said.get("watermark_ms")
    if isinstance(at_ms, int) and isinstance(watermark_ms, int):
        return Sample(at_ms, watermark_ms)
    return None
