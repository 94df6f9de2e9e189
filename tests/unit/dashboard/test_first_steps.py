"""What the first steps tell to type works, and the page says what is true meanwhile."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import living_database
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import routing
from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import first_steps as page
from dashboard.pages import overview
from dashboard.words import NBSP
from driftline.stats.reference import Reference, build_reference
from monitor.storage import reads, registry
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from tests.slots import text


def filled(engine: Engine) -> dict[str, Any]:
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=(), asked=Asked(""), screen=Screen(), now_ms=NOW_MS,
            checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = page.fill(look)
    assert set(values) == set(page.SLOTS)
    sent: dict[str, Any] = json.loads(to_json_plotly(dict(values)))
    return sent


def test_nothing_yet_says_what_is_there(engine: Engine) -> None:
    sent = filled(engine)
    assert sent["title"] == "Nothing is monitored yet"
    assert "SQLite" in text(sent["checks"])
    assert "none yet, waiting" in text(sent["checks"])
    assert "is not read yet" in text(sent["sent"])


def waits(
    engine: Engine, model: str, records: int = 30, version: str = "3"
) -> living_database.Living:
    """A world in which events of a model came that has no reference."""
    world = living_database.begin(engine)
    for _ in range(records):
        event = {
            "type": "prediction", "model": model, "version": version,
            "time": "2026-04-30T10:00:00Z", "features": {"a": 1}, "prediction": 1,
        }  # fmt: skip
        world.send(json.dumps(event).encode())
    world.settle()
    return world


def test_events_without_a_reference_ask_for_theirs(engine: Engine) -> None:
    waits(engine, "churn")
    sent = filled(engine)
    assert sent["title"] == "Events arrive, but no reference is registered"
    assert "30 predictions of churn" in sent["lead"].replace(NBSP, " ")
    assert "--model churn --version 3" in text(sent["register"])
    assert '"model": "churn"' in text(sent["send"])
    assert "30 events so far" in text(sent["sent"]).replace(NBSP, " ")


def test_events_that_are_all_refused_point_to_the_reasons(engine: Engine) -> None:
    world = living_database.begin(engine)
    world.send(b"nope")
    world.settle()
    sent = filled(engine)
    assert sent["title"] == "Events arrive, but none of them is counted"
    assert "1 refused" in text(sent["checks"])
    assert '"href": "/pipeline"' in json.dumps(sent["checks"])


def registered(engine: Engine, model: str = "churn", version: str = "3") -> None:
    """A reference with an output and a feature of each kind."""
    rows, draw = 400, np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "age": draw.integers(20, 60, rows),
            "plan": np.resize(["free", "pro", "pro"], rows),
            "spent": draw.normal(12.5, 2.0, rows),
            "nothing": pd.Series([None] * rows, dtype="object"),
            "class": np.resize(["stays", "leaves", "stays"], rows),
            "score": draw.random(rows),
        }
    )
    made = build_reference(frame, prediction="class", score="score")
    with transaction(engine) as conn:
        registry.register_reference(
            conn, Reference.from_document(made.to_document()), model=model, version=version,
            now_ms=NOW_MS,
        )  # fmt: skip


def snippet_of(sent: dict[str, Any]) -> dict[str, Any]:
    """The event that the page's own snippet sends."""
    code = sent["send"]["props"]["children"][1]["props"]["value"]  # of the button that copies it
    found: list[bytes] = []

    class Producer:
        def __init__(self, **_: Any) -> None: ...

        def send(self, topic: str, value: bytes) -> Any:
            found.append(value)
            return SimpleNamespace(get=lambda timeout: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kafka.KafkaProducer", Producer)
        exec(compile(code, "snippet", "exec"), {})
    event: dict[str, Any] = json.loads(found[0])
    return event


def test_once_a_reference_is_there_its_step_is_ticked_and_events_are_asked_for(
    engine: Engine,
) -> None:
    registered(engine)
    sent = filled(engine)
    assert sent["title"] == "churn 3 waits for the first event"
    assert sent["step"] == "done"
    said = text(sent["register"]).replace(NBSP, " ")
    assert "Registered" in said
    assert "churn 3" in said
    assert "4 features, 400 rows" in said
    event = snippet_of(sent)
    assert (event["model"], event["version"]) == ("churn", "3")
    assert list(event["features"]) == ["age", "plan", "spent", "nothing"]
    assert event["features"]["plan"] == "pro"
    assert event["prediction"]["class"] == "stays"
    assert 0 <= event["prediction"]["score"] <= 1


def test_the_page_is_over_with_the_first_event_that_is_counted(engine: Engine) -> None:
    world = living_database.begin(engine)
    registered(engine)
    assert routing.place_of(engine, "/").page is page.PAGE
    event = snippet_of(filled(engine))
    with reading(engine) as conn:
        before = reads.version_mark(conn)
    # A record that is refused is no event.
    world.send(b"nope")
    world.settle()
    assert routing.place_of(engine, "/").page is page.PAGE
    event["time"] = "2026-04-30T10:00:00Z"
    world.send(json.dumps(event).encode())
    world.settle()
    assert routing.place_of(engine, "/").page is overview.PAGE
    with reading(engine) as conn:
        # That is what makes an open page ask.
        assert reads.version_mark(conn) != before
        assert reads.outcomes(conn)["prediction"] == 1


def test_events_of_another_version_than_the_registered_one_are_told_apart(engine: Engine) -> None:
    registered(engine)
    waits(engine, "churn", version="v3")
    sent = filled(engine)
    assert sent["title"] == "Events arrive, but not of what is registered"
    lead = sent["lead"].replace(NBSP, " ")
    assert "30 predictions of churn v3 came" in lead
    assert "registered is churn 3" in lead


def test_an_archived_model_waits_for_nothing(engine: Engine) -> None:
    registered(engine)
    with transaction(engine) as conn:
        conn.execute(sa.update(t.model).values(archived_ms=NOW_MS))
    assert filled(engine)["title"] == "Nothing is monitored yet"
