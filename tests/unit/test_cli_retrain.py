"""`driftline retrain`: policies, requests and reports over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from retrain_world import World
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from driftline import Client
from driftline.errors import ApiConflict, ApiError, ConfigError
from monitor.api.app import create_app
from monitor.cli import reference
from monitor.cli.retrain import app


@pytest.fixture
def server(engine: Engine) -> Iterator[str]:
    World(engine)
    api = create_app(engine, with_dashboard=False)
    config = uvicorn.Config(api, host="127.0.0.1", port=0, log_level="warning")
    server, sock = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
    sock.close()


def run(server: str, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--url", server])
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output.strip()


def test_a_policy_is_set_shown_and_removed(server: str) -> None:
    said = run(
        server, "policy", "m", "--trainer", "trainer", "--open-days", "3", "--cooldown",
        "14", "--dry-run",
    )  # fmt: skip
    assert said == (
        "m: writes down what it would ask trainer (webhook) for a retraining when critical drift "
        "stood on 3 of the last 28 days; 14 days between two, 10 a day for all models, 96 h for "
        "each answer"
    )
    assert run(server, "policy", "m") == said
    assert json.loads(run(server, "policy", "m", "--json"))["dry_run"] is True
    for words in (["--off", "--remove"], ["--trainer", "trainer", "--remove"]):
        done = CliRunner().invoke(app, ["policy", "m", *words, "--url", server])
        assert isinstance(done.exception, ConfigError), words
    assert run(server, "policy", "m", "--remove") == "m is not retrained by itself any more"


def test_a_policy_that_stands_is_changed_and_the_rest_of_it_stays(server: str) -> None:
    run(server, "policy", "m", "--trainer", "trainer", "--open-days", "3", "--dry-run")
    off = run(server, "policy", "m", "--off")
    assert off.startswith("m: is switched off, and would ask trainer (webhook) for a retraining")
    assert "on 3 of the last 28 days" in off
    run(server, "policy", "m", "--of-days", "14")
    said = json.loads(run(server, "policy", "m", "--on", "--json"))
    assert [said[name] for name in ("enabled", "open_days", "of_days", "dry_run")] == [
        True, 3, 14, True,
    ]  # fmt: skip
    assert "asks trainer (webhook)" in run(server, "policy", "m", "--trainer", "trainer")
    with Client(server) as client:
        client.remove_endpoint("trainer")
    done = CliRunner().invoke(app, ["policy", "m", "--off", "--url", server])
    assert isinstance(done.exception, ConfigError) and "was removed" in str(done.exception)


def test_a_retraining_is_asked_for_reported_and_shown(server: str) -> None:
    assert run(server, "list").startswith("nothing was asked for; ")
    dry = run(server, "ask", "m", "--dry-run", "--version", "1")
    first, _, message = dry.partition("\n")
    assert first.startswith("the policy sees no reason: no critical drift is open")
    assert json.loads(message)["data"]["version"] == "1"
    assert run(server, "list", "--json") == "[]"
    asked = run(server, "ask", "m", "--version", "1", "--reason", "new labels", "--by", "Mo")
    assert "\n1  m 1  requested  asked " in asked
    assert run(server, "report", "1", "running", "--message", "fold 1").startswith(
        "1  m 1  running"
    )
    done = run(server, "report", "1", "succeeded", "--version", "2", "--run-url", "https://ci/7")
    assert "succeeded, waits for version 2 to take over" in done
    shown = run(server, "show", "1").splitlines()
    assert shown[1:3] == ["  new labels", "  run https://ci/7"]
    assert [line.split("UTC  ")[1] for line in shown[3:]] == [
        "requested by Mo: new labels",
        "running by api:loopback: fold 1",
        "succeeded by api:loopback",
    ]
    assert json.loads(run(server, "show", "1", "--json"))["made_version"] == "2"
    assert run(server, "list", "m", "--state", "succeeded") == shown[0]
    assert run(server, "list", "--incident", "5") == "no such request"


def test_registering_what_was_made_says_from_when_it_is_live(server: str, tmp_path: Path) -> None:
    file = tmp_path / "trained.csv"
    file.write_text("x,score\n" + "".join(f"{n},{n % 9}\n" for n in range(50)))
    for version, more in (("1", ()), ("2", ("--replaces", "1"))):
        asked = ("--model", "new", "--version", version, "--score", "score", *more)
        done = CliRunner().invoke(reference.app, [str(file), *asked, "--url", server])
        assert done.exit_code == 0, done.output + str(done.exception)
        assert ("\n  version 2 live from " in done.output) == bool(more), done.output
    assert ", instead of 1 (" in done.output


def test_a_training_that_failed_can_say_so_whatever_its_last_words_hold(server: str) -> None:
    with Client(server) as client:
        made = client.ask_retrain("m", version=1)
        assert made.request is not None
        words = "Traceback\n" + "x" * 50_000 + "\nUnicodeError: caf\udce9\0"
        told = client.report_retrain(made.request.id, "failed", message=words)
        said = told.events[-1].words
        assert 1_990 < len(said) <= 2_000
        assert said.startswith("Traceback\nx") and said.endswith("\nUnicodeError: caf?\ufffd")
        assert " ... " in said


def test_the_sdk_says_what_cannot_be(server: str) -> None:
    with Client(server) as client:
        made = client.ask_retrain("m", version=1)
        assert made.request is not None and made.request.trainer == "trainer"
        with pytest.raises(ApiConflict, match="one is open at a time"):
            client.ask_retrain("m", version=1)
        client.report_retrain(made.request.id, "failed", message="no positives")
        with pytest.raises(ApiConflict, match="it failed"):
            client.report_retrain(made.request.id, "running")
        with pytest.raises(ApiError, match="no such retraining request"):
            client.report_retrain(99, "running")
        assert [one.state for one in client.retrains("m", version=1)] == ["failed"]
        client.remove_retraining("m")
        with pytest.raises(ApiError, match="no retraining policy"):
            client.retraining("m")
