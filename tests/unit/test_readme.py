"""What the README and the docs name exists, and their snippets run."""

from __future__ import annotations

import json
import re
import shlex
import time
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from driftline import Client
from driftline.events import REASONS
from driftline.webhooks import new_secret, sign
from driftline.wire import decode
from monitor.cli.app import VERBS, app
from monitor.cli.processes import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = "\n".join([README, *DOCS.values()])


def proofs() -> list[tuple[str, str]]:
    """(file, test) of every proof; `::name` alone is in the file named before it."""
    found, file = [], ""
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", README):
        file = path or file
        found.append((file, name))
    return found


@pytest.mark.parametrize(("file", "name"), proofs())
def test_every_proof_of_a_promise_is_a_test(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text()


def test_every_promise_has_a_proof_or_says_that_it_has_none() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| **")]
    assert len(rows) == 7
    for row in rows:
        assert "::test_" in row or "not there yet" in row


def test_every_make_verb_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for verb in set(re.findall(r"(?:\$ |`)make (\w+)", README)):
        assert f"\n{verb}:" in makefile


def test_every_command_of_the_program_has_help() -> None:
    runner = CliRunner()
    named = set(re.findall(r"(?:`|\$ )driftline ((?:[a-z-]*[a-z] ?)+)", PAGES))
    said = {tuple(words.split()) for words in named}
    assert {("up",), ("demo",), ("reference", "register"), ("endpoint", "add")} <= {
        words[:n] for words in said for n in (1, 2)
    }
    for words in sorted(said):
        result = runner.invoke(app, [*_verb(words), "--help"])
        assert result.exit_code == 0, (words, result.output)


def _verb(words: tuple[str, ...]) -> tuple[str, ...]:
    """The verb and, where it is a noun of several, the verb of the noun; the rest are values."""
    path = VERBS[words[0]].path
    module, _, name = path.partition(":")
    is_noun = isinstance(getattr(import_module(module), name), typer.Typer)
    return words[:2] if is_noun else words[:1]


def test_every_option_that_a_page_names_exists() -> None:
    runner = CliRunner()
    pages = PAGES.replace("\\\n", " ")
    lines = re.findall(r"^(?:\$ )(?:\w+=\S+ )?driftline (.*)$", pages, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        words = [word for word in shlex.split(line.split(" > ")[0]) if not word.startswith("$")]
        shown = runner.invoke(app, [*_verb(tuple(words)), "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in words if word.startswith("--")):
            assert option in shown, (line, option)


def registering() -> list[str]:
    """The arguments of the README's `reference register` after the file."""
    found = re.search(r"driftline (reference register .*?)```", README, re.DOTALL)
    assert found is not None
    return shlex.split(found[1].replace("\\\n", " "))


def trained_on() -> pd.DataFrame:
    """What the README's model was trained on."""
    rows, draw = 2_000, np.random.default_rng(1)
    return pd.DataFrame(
        {
            "at": pd.date_range("2025-01-01", periods=rows, freq="10min"),
            "age": draw.normal(40, 10, rows),
            "plan": np.resize(["free", "pro"], rows),
            "tenure": draw.integers(0, 30, rows),
            "class": np.resize(["stays", "leaves"], rows),
            "score": draw.random(rows),
            "left": np.resize([0, 1, 0], rows),
        }
    )


def test_the_reference_of_the_readme_has_the_features_and_outputs_of_its_event(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[dict[str, Any]] = []

    def keep(self: Client, *_: str, content: bytes) -> dict[str, Any]:
        sent.append(json.loads(content))
        warnings = sent[-1]["reference"]["warnings"]
        return {"digest": "d", "created": True, "warnings": warnings}

    monkeypatch.setattr(Client, "_call", keep)
    monkeypatch.chdir(tmp_path)
    trained_on().to_parquet("trained-on.parquet")
    done = CliRunner().invoke(app, registering())
    assert done.exit_code == 0, done.output

    written = re.search(
        r'```json\n(\{"type": "prediction".*?\})\n\{"type": "label"', README, re.DOTALL
    )
    assert written is not None
    event = json.loads(written[1])
    assert f"features: 3 ({', '.join(event['features'])})" in done.output
    assert "rows: 2,000" in done.output
    assert "times: 2025-01-01 00:00 to 2025-01-14 21:10 (Europe/Berlin)" in done.output
    for line in ("prediction: class", "score: score", "label: left", "segments: none"):
        assert line in done.output
    assert set(event["prediction"]) == {"class", "score"}
    assert "watched as a feature" not in done.output

    exec(snippets()[0], {"frame": trained_on()})
    assert sent[0] == sent[1]


def snippets() -> list[str]:
    """The README's Python, in its order: register, log, receive, look."""
    found = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(found) == 4
    return found


def test_the_log_snippet_takes_both_events_though_no_broker_answers() -> None:
    there: dict[str, Any] = {}
    exec(snippets()[1].replace("9092", str(free_port())).replace("flush(5)", "flush(0)"), there)
    counts = there["logger"].counts()
    assert counts.logged == 2
    assert not counts.dropped
    there["logger"].close(0)


def test_the_receive_snippet_starts_a_retraining() -> None:
    secret, now_s = new_secret(), int(time.time())
    body = re.search(r"```json\n(\{\n.*?)```", DOCS["webhooks.md"], re.DOTALL)
    assert body is not None
    content = body[1].encode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(secret, "msg_1", now_s, content),
    }
    begun: list[Any] = []
    here = {
        "request": SimpleNamespace(headers=headers), "body": content, "secret": secret,
        "retrain": lambda model, because, see: begun.append((model, because, see)),
    }  # fmt: skip
    exec(snippets()[2], here)
    said = json.loads(content)["data"]
    assert begun == [(said["model"], said["summary"], said["url"])]
    receive = re.search(r"```python\n(.*?)```", DOCS["webhooks.md"], re.DOTALL)
    assert receive is not None
    exec(receive[1], here)
    assert here["received"](headers, content, secret) == 204  # type: ignore[operator]
    assert here["received"](headers, content + b" ", secret) == 400  # type: ignore[operator]


def test_the_look_snippet_names_what_the_client_has() -> None:
    for name in re.findall(r"client\.(\w+)\(", snippets()[3]):
        assert hasattr(Client, name), name


def test_the_page_of_settings_is_made_of_the_table() -> None:
    spec = spec_from_file_location("docs", ROOT / "scripts" / "docs.py")
    assert spec is not None and spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.configuration() == DOCS["configuration.md"], "run: python scripts/docs.py"


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCS["events.md"], re.MULTILINE))
    assert {reason: rows.get(reason) for reason in REASONS} == REASONS


def test_the_events_of_the_docs_are_events() -> None:
    for page in (README, DOCS["events.md"]):
        blocks = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
        events = [
            json.dumps(event).encode()
            for block in blocks
            for event in msgspec.json.decode(b"[" + re.sub(r"\}\n\{", "},{", block).encode() + b"]")
        ]
        assert {decode(event).type for event in events} == {"prediction", "label"}


def test_every_link_leads_somewhere() -> None:
    for folder, page in [(ROOT, README), *((ROOT / "docs", text) for text in DOCS.values())]:
        for target in re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", page):
            path = "".join(target)
            assert path.startswith("https://") or (folder / path).exists(), path


def test_what_the_page_of_guarantees_names_as_tried_is_there() -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+\*?)`", DOCS["guarantees.md"]))
    assert len(named) > 12
    missing = {name for name in named if not list((ROOT / "tests").rglob(f"{name}.py"))}
    assert not missing
