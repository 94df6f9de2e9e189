"""What a page may cost, as counts: statements, callbacks, bytes, points."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from addresses import every_page
from harness import Visit, serving, statements
from hostile import Names
from living_database import NOW_MS
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage
from monitor.storage import schema as t

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
MAX_POINTS, MAX_TRACES, MAX_SHAPES = 1_500, 20, 50
# Router, heartbeat, search and the page itself, once each.
MAX_CALLBACKS = 4
MAX_STATEMENTS = 40
# Of everything a page is filled with, as it goes over the wire.
MAX_ANSWERS_KB = 100


def cost(one: Visit, engine: Engine, path: str) -> tuple[int, int]:
    """Callbacks of opening a page, and statements of the one that asks most: the page's."""
    one.asked.clear()
    with statements(engine) as uses:
        one.go(path)
        most = max(len(said) for said in uses())
    return len([a for a in one.asked if a["changed"] != ["tick.n_intervals"]]), most


def test_a_page_is_one_callback_and_few_statements(visit: Visitor, living: Engine) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        costs = {
            name: cost(one, living, path) for name, path in every_page(living, Names()).items()
        }
    too_many = {
        name: (callbacks, count)
        for name, (callbacks, count) in costs.items()
        if callbacks > MAX_CALLBACKS or count > MAX_STATEMENTS
    }
    assert too_many == {}, costs


def test_more_models_and_incidents_cost_no_more_statements(visit: Visitor, living: Engine) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        pages = every_page(living, Names())
        few = {name: cost(one, living, pages[name])[1] for name in ("overview", "incidents")}
        _multiply(living, 40)
        many = {name: cost(one, living, pages[name])[1] for name in ("overview", "incidents")}
    assert many == few


def _multiply(engine: Engine, n: int) -> None:
    with storage.transaction(engine) as conn:
        rows = conn.execute(sa.select(t.incident).limit(10)).mappings().all()
        number = conn.execute(sa.select(sa.func.max(t.incident.c.number))).scalar_one()
        for i in range(n):
            key = {"id": 1_000 + i, "created_ms": NOW_MS}
            conn.execute(sa.insert(t.model).values(**key, name=f"more-{i:02}", timezone="UTC"))
            conn.execute(sa.insert(t.model_version).values(**key, model_id=1_000 + i, name="1"))
            conn.execute(
                sa.insert(t.monitor).values(
                    model_id=1_000 + i,
                    revision=1,
                    spec=conn.execute(sa.select(t.monitor.c.spec).limit(1)).scalar_one(),
                    created_ms=NOW_MS,
                )
            )
            for row in rows:
                number += 1
                copied = {**row, "number": number, "version_id": 1_000 + i}
                conn.execute(sa.insert(t.incident).values(copied))
        conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))


def test_figures_keep_to_their_budget(visit: Visitor, demo_site: tuple[str, Engine]) -> None:
    base, _ = demo_site
    one = visit(base)
    over: list[str] = []
    drawn = 0
    for path in (
        "/models/flight-delay",
        "/models/flight-delay?window=hour&from=2013-02-01&to=2013-12-31",
        "/models/flight-delay?from=2013-02-01&to=2013-12-31",
        "/models/flight-delay/features/temp?from=2013-02-01&to=2013-12-31",
        "/models/flight-delay/features/temp?window=hour&from=2013-02-01&to=2013-12-31",
        "/models/flight-delay/features/dest",
        "/",
        "/pipeline",
    ):
        assert 0 < one.weigh(path) < MAX_ANSWERS_KB * 1000, path
        for figure in one.figures():
            drawn += 1
            if len(figure["traces"]) > MAX_TRACES:
                over.append(f"{path} {figure['id']}: {len(figure['traces'])} traces")
            if figure["shapes"] > MAX_SHAPES:
                over.append(f"{path} {figure['id']}: {figure['shapes']} shapes")
            over += [
                f"{path} {figure['id']}: {trace['type']} of {trace['points']} points"
                for trace in figure["traces"]
                if trace["points"] > MAX_POINTS
            ]
    assert over == []
    assert drawn > 8
