"""A model that is silent, or whose events lack a feature, on every page that tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from judged_world import START_MS, frame, world_of
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import Page, incident, incidents, model, overview
from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.reference import build_reference
from monitor.storage import engine as storage
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.views.episodes import listed, standing_groups
from monitor.views.handled import NOTHING
from monitor.views.models import models

LAST_MS = START_MS + 10 * DAY_MS
NOW_MS = LAST_MS + 9 * HOUR_MS


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Ten days of a model, the last without a feature; for nine hours there is nothing."""
    folder: Path = tmp_path_factory.mktemp("silent")
    engine = storage.create(f"sqlite:///{folder / 'silent.db'}")
    storage.upgrade(engine)
    rows = frame(START_MS - 28 * DAY_MS, 28 * 24, 1)
    world = world_of(engine, build_reference(rows, timestamp="at", categorical=("c",)))
    world.now_ms = NOW_MS
    world.write(START_MS, 24 * 9)
    world.write(LAST_MS - DAY_MS, 24, lacking="c")
    with storage.transaction(engine) as conn:
        conn.execute(sa.update(t.stream_position).values(max_event_time_ms=NOW_MS))
    world.evaluator().step()
    yield engine
    engine.dispose()


def text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return " ".join(text(each) for each in value)
    if isinstance(value, Mapping):
        return text(value.get("props", {}).get("children", ""))
    return ""


def said(page: Page, engine: Engine, *path: str) -> str:
    with storage.reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=path, asked=Asked(""), screen=Screen(),
            now_ms=NOW_MS, checkpoint_interval_s=30.0, model_zone=reads.zone_of(conn, "m"),
        )  # fmt: skip
        values: dict[str, Any] = json.loads(to_json_plotly(dict(page.fill(look))))
    return " ".join(text(value) for value in values.values()).replace("\u00a0", " ")


def numbers(engine: Engine) -> dict[str, int]:
    with engine.connect() as conn:
        rows = conn.execute(sa.select(t.incident.c.kind, t.incident.c.number))
        return {row.kind: row.number for row in rows}


def test_every_page_tells_of_silence(silent: Engine) -> None:
    number = numbers(silent)["volume"]
    assert "No predictions since 0h on 11 January 2024" in said(
        incident.PAGE, silent, "incidents", str(number)
    )
    # The silence, and the feature that is not sent, which speaks for its missing values.
    page = said(incidents.PAGE, silent, "incidents")
    assert "2 are firing, none has an owner, 1 more is muted" in page
    assert "no predictions since" in said(model.PAGE, silent, "models", "m").lower()
    assert "sends no predictions since 11 Jan 00:00" in said(overview.PAGE, silent)


def test_a_feature_that_is_not_sent_has_words_of_its_own(silent: Engine) -> None:
    number = numbers(silent)["schema"]
    page = said(incident.PAGE, silent, "incidents", str(number))
    assert "c is not sent" in page
    assert "its key is absent from more than 95 % of 30 rows" in page


def test_missing_values_of_a_feature_that_is_not_sent_are_no_second_story(silent: Engine) -> None:
    """They are judged and kept, muted by the schema's incident, and counted nowhere."""
    found = numbers(silent)
    schema, missing = found["schema"], found["missing"]
    with storage.reading(silent) as conn:
        assert [one.number for one in standing_groups(conn)] == [found["volume"], schema]
        assert models(conn).firing == 2
        view = listed(conn)
        assert (view.firing, view.muted, view.speakers) == (2, 1, {missing: schema})
        (group,) = (one for one in view.groups if one.number == missing)
        look = Look(
            conn=conn, engine=silent, path=("incidents",), asked=Asked(""), screen=Screen(),
            now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        assert incidents.row(group, view, NOTHING, look)["state"]["sub"] == f"muted by #{schema}"
        assert f"muted by #{schema}" in text(
            json.loads(to_json_plotly(incidents.cards([group], view, {}, look)))
        )
    page = said(incident.PAGE, silent, "incidents", str(missing))
    assert f"#{missing} (c) is muted while the feature is not sent, which #{schema} tells." in page
    assert "c is not sent" in (there := said(overview.PAGE, silent)) and "missing" not in there
    assert f"#{missing}" not in there
