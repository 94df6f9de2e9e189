"""A model before its first verdict: what to send, then what came, on every page that has it."""

from __future__ import annotations

import json
from typing import Any

import living_database
import numpy as np
import pytest
from living_database import HOUR_MS, NOW_MS, Living, day_ms
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import Page, incidents, model, reference, references
from dashboard.words import NBSP
from monitor.storage import reads
from monitor.storage.engine import reading


@pytest.fixture
def world(engine: Engine) -> Living:
    return living_database.waiting(engine)


def filled(engine: Engine, page: Page, path: tuple[str, ...], search: str = "") -> dict[str, str]:
    """What each slot says, with plain spaces."""
    with reading(engine) as conn:
        zone = reads.zone_of(conn, path[1]) if path[0] == "models" else None
        look = Look(
            conn=conn, engine=engine, path=path, asked=Asked(search), screen=Screen(),
            now_ms=NOW_MS, checkpoint_interval_s=30.0, model_zone=zone,
        )  # fmt: skip
        values = page.fill(look)
    return {
        key: json.dumps(json.loads(to_json_plotly(value)), ensure_ascii=False).replace(NBSP, " ")
        for key, value in values.items()
    }


def of_model(world: Living, search: str = "") -> dict[str, str]:
    return filled(world.engine, model.PAGE, ("models", world.names.model), search)


def test_without_an_event_a_model_shows_what_to_send(world: Living) -> None:
    sent = of_model(world)
    said = sent["states"]
    assert "No event of parcel-delay 1 has arrived." in said
    assert '"href": "/pipeline"' in said
    code = json.loads(said)
    snippet = next(
        part["props"]["children"][1]["props"]["value"]
        for part in code
        if part["props"].get("className") == "command"
    )
    assert '"model": "parcel-delay"' in snippet
    assert '"version": "1"' in snippet
    for name in (world.names.weight, world.names.carrier, world.names.temperature):
        assert json.dumps(name) in snippet
    assert json.dumps(world.names.on_time) in snippet
    # No heatmap, no order of its rows, no lanes.
    assert sent["chart"] == '"chart collecting"'
    assert sent["head"] == "[]"
    assert "1970" not in json.dumps(sent)


def test_events_without_a_verdict_are_lanes_and_the_time_of_the_first(world: Living) -> None:
    draw, names = world.draw, world.names
    start_ms = day_ms(0) + 2 * HOUR_MS
    times = np.sort(draw.integers(start_ms, start_ms + 3 * HOUR_MS, 90))
    world.at(start_ms + 3 * HOUR_MS)
    world.log(names.model, names.version, living_database.rows(draw, names, times))
    world.settle()
    world.judge()
    sent = of_model(world)
    said = sent["states"]
    # A local day in Berlin ends at 22:00 UTC; ten minutes of lateness follow.
    assert "The first day is judged when an event of 1 May 22:10 UTC or later was read" in said
    assert "90 predictions counted" in said
    assert "v1 · reference 1" in said
    assert '"import json' not in said
    assert "1970" not in json.dumps(sent)


def test_a_first_event_is_seen_though_nothing_was_judged(world: Living) -> None:
    """The same visit, the same data version: what was kept is older than the event."""
    assert "has arrived" in of_model(world)["states"]
    draw, names = world.draw, world.names
    world.at(day_ms(0) + HOUR_MS)
    times = np.array([day_ms(0) + HOUR_MS // 2])
    world.log(names.model, names.version, living_database.rows(draw, names, times))
    world.settle()
    assert "1 prediction counted" in of_model(world)["states"]


@pytest.mark.parametrize(
    ("page", "path"),
    [(incidents.PAGE, ("incidents",)), (references.PAGE, ("references",))],
)
def test_the_lists_hold_nothing_from_1970(world: Living, page: Page, path: tuple[str, ...]) -> None:
    assert "1970" not in json.dumps(filled(world.engine, page, path))


def test_its_reference_says_that_nothing_is_judged_yet(world: Living) -> None:
    with reading(world.engine) as conn:
        digest = reads.references(conn)[0].digest
    sent: dict[str, Any] = filled(world.engine, reference.PAGE, ("references", digest))
    assert "1970" not in json.dumps(sent)
    assert sent["lengths"].count("none yet") == 3
