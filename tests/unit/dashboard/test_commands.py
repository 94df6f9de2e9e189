"""What the pages give to type is taken by the program, and names this installation."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from hostile import CORPUS, names
from typer.testing import CliRunner

import dashboard
from consumers.admit import Rules, admit
from dashboard import commands
from dashboard.commands import Installation
from driftline import program
from driftline.errors import ServerUnavailable
from driftline.wire import decode
from monitor.cli.app import VERBS, load
from monitor.cli.app import app as cli
from monitor.views.awaited import Awaited

ROOT = Path(dashboard.__file__).parents[1]
PRINTING = ("dashboard", "monitor", "driftline", "consumers")
HERE = Installation("http://127.0.0.1:8050", "127.0.0.1:9092", "driftline.events")


def sources() -> list[ast.AST]:
    """Every module whose texts people read, without its docstrings."""
    trees = []
    for folder in PRINTING:
        for file in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(file.read_text())
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                    value = body[0].value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        value.value = ""
            trees.append(tree)
    return trees


def printed() -> set[str]:
    """The words of every call of `command`."""
    return {
        str(node.args[0].value)
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "command"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize("words", sorted(printed()))
def test_every_command_that_is_printed_exists(words: str) -> None:
    verbs = [word for word in shlex.split(words) if re.fullmatch("[a-z][a-z-]*", word)]
    options = [word for word in shlex.split(words) if word.startswith("--")]
    done = CliRunner().invoke(cli, [*verbs, "--help"])
    assert done.exit_code == 0, done.output
    assert all(option in done.output for option in options)


def test_the_commands_that_people_need_are_printed() -> None:
    assert {"status", "demo", "ingest", "up", "db upgrade"} <= printed()


def test_no_command_is_printed_without_asking_how_it_is_typed() -> None:
    bare = re.compile(rf"\bdriftline ({'|'.join(VERBS)})\b")
    found = [
        node.value
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bare.search(node.value)
    ]
    # The description of the API is the same on every machine; a lock names who holds it; what is
    # said at registration is kept with the reference, and read anywhere.
    named = ("whether it answers", "driftline restore", "driftline monitor set MODEL")
    assert [text for text in found if not any(words in text for words in named)] == []


def registered(command: str) -> dict[str, Any]:
    """What the program takes a command for; a shell joins what a backslash continues."""
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == [program.program(), "reference", "register"]
    found: dict[str, Any] = (
        load("reference").commands["register"].make_context("x", words[3:]).params
    )
    return found


def test_registering_names_the_server_the_outputs_the_times_and_the_zone() -> None:
    params = registered(commands.register("m", "1", Installation("http://10.0.0.7:9000", "", "")))
    assert params["url"] == "http://10.0.0.7:9000"
    for name in ("prediction", "score", "label"):
        assert params[name] == name
    assert (params["timestamp"], params["timezone"]) == ("time", "UTC")


@pytest.mark.parametrize("name", names())
def test_a_name_is_one_argument_whatever_it_holds(name: str) -> None:
    params = registered(commands.register(name, name, HERE))
    assert (params["model"], params["version"]) == (name, name)


def test_the_usual_server_is_not_named() -> None:
    assert "--url" not in commands.register("m", "1", HERE)


def test_the_address_is_the_one_that_the_browser_used() -> None:
    server = flask.Flask("test")
    for asked, told in [
        ("http://10.0.0.7:9000", "http://10.0.0.7:9000"),
        ("http://evil$(id)/", None),
        ("http://a;b/", None),
    ]:
        with server.test_request_context(base_url=asked):
            assert commands.installation(["t"]).url == told
    assert commands.installation(["t"]).url is None


def test_settings_say_where_events_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_KAFKA__BOOTSTRAP", "kafka-1:9092,kafka-2:9092")
    monkeypatch.setenv("DRIFTLINE_KAFKA__TOPIC", "mine")
    here = commands.installation([])
    assert (here.bootstrap, here.topic) == ("kafka-1:9092,kafka-2:9092", "mine")
    # What is read wins over what is set.
    assert commands.installation(["read"]).topic == "read"
    monkeypatch.setenv("DRIFTLINE_WEB__PORT", "no number")
    assert commands.installation([]).topic == "driftline.events"


def run(code: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Run a snippet against a producer that notes what it was given."""
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
    sent = run(commands.snippet(HERE), monkeypatch)
    assert [topic for topic, _ in sent] == ["driftline.events"]
    record = SimpleNamespace(offset=0, timestamp=-1, value=sent[0][1], headers=())
    admitted = admit([record], Rules())  # type: ignore[list-item]
    assert admitted.letters == []
    assert [(model, version) for model, version, _ in admitted.names] == [("my-model", "1")]
    assert (decode(sent[0][1]).features or {}).keys() == {"age", "plan", "tenure"}


def test_the_snippet_keeps_hostile_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    features = tuple((name, name) for name in dict.fromkeys(CORPUS[: commands.SHOWN]))
    awaited = Awaited('it\'s "a" {model} \\n é', "\\", "", 1, features, {"class": CORPUS[0]})
    event = json.loads(run(commands.snippet(HERE, awaited), monkeypatch)[0][1])
    assert (event["model"], event["version"]) == (awaited.model, awaited.version)
    assert event["features"] == dict(features)
    assert event["prediction"] == awaited.prediction


def test_of_many_features_the_first_are_shown_and_the_rest_counted() -> None:
    many = replace(
        commands.EXAMPLE, features=tuple((f"f{n}", n) for n in range(commands.SHOWN + 160))
    )
    code = commands.snippet(HERE, many)
    assert "# and 160 more, each by its name" in code
    assert len(code.splitlines()) < commands.SHOWN + 25
    compile(code, "snippet", "exec")


@pytest.mark.parametrize("in_doubt", [False, True])
def test_the_command_that_sends_a_letter_again_is_taken_as_it_is_said(in_doubt: bool) -> None:
    here = replace(HERE, url="http://127.0.0.1:1")  # nobody is there
    said = commands.send_again("1-0-40-0", here, in_doubt=in_doubt)
    done = CliRunner().invoke(cli, shlex.split(said)[1:])
    assert isinstance(done.exception, ServerUnavailable)
    assert str(here.url) in str(done.exception)
