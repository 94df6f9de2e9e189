"""Muted (another incident tells of it) and held (closed without a partition), on the pages."""

from __future__ import annotations

import json
from typing import Any

import living_database
import sqlalchemy as sa
from hostile import Names
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import feature, model
from dashboard.words import NBSP
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.views.scope import resolve
from monitor.views.timeline import timeline


def filled(engine: Engine, page: Any, path: tuple[str, ...], search: str = "") -> dict[str, str]:
    """What each slot says, with plain spaces."""
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=path, asked=Asked(search), screen=Screen(),
            now_ms=NOW_MS, checkpoint_interval_s=30.0, model_zone=reads.zone_of(conn, path[1]),
        )  # fmt: skip
        values = page.fill(look)
    return {
        key: json.dumps(json.loads(to_json_plotly(value)), ensure_ascii=False).replace(NBSP, " ")
        for key, value in values.items()
    }


def muted_segment(engine: Engine) -> str:
    """A segment whose open incidents are all told by others."""
    i = t.incident.c
    query = sa.select(i.segment, i.muted).where(i.state == "firing", i.segment != "all")
    with engine.connect() as conn:
        rows = conn.execute(query.order_by(i.number)).all()
    told = {row.segment for row in rows if not row.muted}
    return next(str(row.segment) for row in rows if row.segment not in told)


def test_a_segment_that_is_muted_is_not_called_healthy(living: Engine) -> None:
    segment = muted_segment(living)
    sent = filled(living, model.PAGE, ("models", Names().model), f"?segment={segment}")
    verdict = sent["verdict"]
    assert "Healthy" not in verdict
    assert "Muted: " in verdict
    assert f"of {segment} moved, as in all rows." in verdict
    assert "The incident over all rows tells of it" in verdict
    assert "i-bell-off" in verdict


def test_all_rows_are_not_muted_by_what_they_mute(living: Engine) -> None:
    with reading(living) as conn:
        scope, _ = resolve(conn, Names().model)
        assert timeline(conn, scope).muted == ()
    assert "Muted" not in filled(living, model.PAGE, ("models", Names().model))["verdict"]


def test_a_day_closed_without_a_partition_says_so(living: Engine) -> None:
    names = Names()
    said = "Closed without partition 4, which was behind: incomplete"
    path = ("models", names.model)
    assert said not in filled(living, model.PAGE, path)["states"]
    living_database.hold(living, names.model, names.successor)
    assert said in filled(living, model.PAGE, path)["states"]
    of_feature = filled(living, feature.PAGE, (*path, "features", names.weight))
    assert said in json.dumps(of_feature, ensure_ascii=False)


def test_a_segment_that_a_silent_model_mutes_says_so(living: Engine) -> None:
    names, segment = Names(), muted_segment(living)
    with transaction(living) as conn:
        version_id = sa.select(t.incident.c.version_id).where(t.incident.c.number == 8)
        conn.execute(
            sa.insert(t.incident).values(
                version_id=version_id.scalar_subquery(), segment="all", feature="", kind="volume",
                severity="critical", state="firing", muted=False, first_window_ms=0, opened_ms=1,
                episodes="[[1, 0, 1, null]]", summary="No predictions.", evidence="{}",
            )
        )  # fmt: skip
    verdict = filled(living, model.PAGE, ("models", names.model), f"?segment={segment}")["verdict"]
    assert "Muted while the model is silent: " in verdict
    assert f"of {segment} moved." in verdict
    assert "as in all rows" not in verdict
