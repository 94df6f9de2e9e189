"""What the first steps tell to type works, and the page says what is true meanwhile."""

from __future__ import annotations

import json
import shlex
from types import SimpleNamespace
from typing import Any

import flask
import living_database
import pytest
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine
from typer.main import get_command

from consumers.admit import Rules, admit
from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import first_steps as page
from dashboard.pages.first_steps import Installation
from dashboard.words import NBSP
from driftline.stats.reference import build_reference
from monitor.cli.app import app as cli
from monitor.storage import reads, registry
from monitor.storage.engine import reading, transaction

HERE = Installation("http://127.0.0.1:8050", "127.0.0.1:9092", "driftline.events")


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


def text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return "".join(text(each) for each in value)
    if isinstance(value, dict):
        return text(value.get("props", {}).get("children", ""))
    return ""


def run(code: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Run the snippet against a producer that notes what it was given."""
    sent: list[tuple[str, bytes]] = []

    class Producer:
        def __init__(self, *, bootstrap_servers: list[str]) -> None:
            assert all(":" in server for server in bootstrap_servers)

        def send(self, topic: str, value: bytes) -> Any:
            sent.append((topic, value))
            return SimpleNamespace(get=lambda timeout: None)

    monkeypatch.setattr("kafka.KafkaProducer", Producer)
    exec(compile(code, "snippet", "exec"), {})
    return sent


def test_the_snippet_sends_an_event_that_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = run(page.snippet(HERE), monkeypatch)
    assert [topic for topic, _ in sent] == ["driftline.events"]
    admitted = admit([SimpleNamespace(offset=0, timestamp=-1, value=sent[0][1])], Rules())  # type: ignore[list-item]
    assert admitted.letters == []
    assert [(model, version) for model, version, _ in admitted.keys] == [("my-model", "1")]
    assert (admitted.events[0].features or {}).keys() == {"age", "plan", "tenure"}


def test_the_snippet_names_the_version_that_waits_whatever_it_is_called(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = 'it\'s "a" {model} \\n é'
    waits(engine, name)
    with reading(engine) as conn:
        found = page.view.read(conn, now_ms=NOW_MS, checkpoint_interval_s=30)
    sent = run(page.snippet(HERE, found.deficits), monkeypatch)
    assert json.loads(sent[0][1])["model"] == name


def test_the_commands_are_taken_by_the_program() -> None:
    command = page.register("m", "1", Installation("http://10.0.0.7:9000", "", ""))
    # A shell joins what a backslash at the end of a line continues.
    words = shlex.split(command.replace("\\\n", ""))
    group: Any = get_command(cli)
    params = group.commands["reference"].commands["register"].make_context("x", words[3:]).params
    assert params["url"] == "http://10.0.0.7:9000"
    assert (params["prediction"], params["score"], params["timestamp"]) == ("class", "score", "at")
    assert {"status", "demo", "ingest"} <= set(group.commands)


def test_the_address_is_the_one_that_the_browser_used() -> None:
    server = flask.Flask("test")
    for asked, told in [
        ("http://10.0.0.7:9000", "http://10.0.0.7:9000"),
        ("http://evil$(id)/", None),
        ("http://a;b/", None),
    ]:
        with server.test_request_context(base_url=asked):
            assert page.installation(["t"]).url == told
    assert page.installation(["t"]).url is None
    assert "--url" not in page.register("m", "1", HERE)


def test_settings_say_where_events_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_KAFKA__BOOTSTRAP", "kafka-1:9092,kafka-2:9092")
    monkeypatch.setenv("DRIFTLINE_KAFKA__TOPIC", "mine")
    here = page.installation([])
    assert (here.bootstrap, here.topic) == ("kafka-1:9092,kafka-2:9092", "mine")
    # What is read wins over what is set.
    assert page.installation(["read"]).topic == "read"
    monkeypatch.setenv("DRIFTLINE_WEB__PORT", "no number")
    assert page.installation([]).topic == "driftline.events"


def test_nothing_yet_says_what_is_there(engine: Engine) -> None:
    sent = filled(engine)
    assert sent["title"] == "Nothing is monitored yet"
    assert "SQLite" in text(sent["checks"])
    assert "none yet, waiting" in text(sent["checks"])
    assert "is not read yet" in text(sent["sent"])


def waits(engine: Engine, model: str, records: int = 30) -> living_database.Living:
    """A world in which events of a model came that has no reference."""
    world = living_database.begin(engine)
    for _ in range(records):
        event = {
            "type": "prediction", "model": model, "version": "3",
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


def test_the_page_is_over_with_the_first_reference(engine: Engine) -> None:
    import pandas as pd

    waits(engine, "churn")
    with reading(engine) as conn:
        assert not reads.has_models(conn)
    with transaction(engine) as conn:
        registry.register_reference(
            conn,
            build_reference(pd.DataFrame({"a": range(200)})),
            model="churn",
            version="3",
            now_ms=NOW_MS,
        )
    with reading(engine) as conn:
        assert reads.has_models(conn)
