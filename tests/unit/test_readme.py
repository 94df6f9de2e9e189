"""What the README names exists."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline import Client
from monitor.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


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
    verbs = set(re.findall(r"driftline (demo|up|ingest|evaluate|web|status)\b", README))
    assert verbs >= {"demo", "up", "ingest", "status"}
    nouns = [["db", "upgrade"], ["reference", "register"], ["config", "show"]]
    for words in [*([verb] for verb in sorted(verbs)), *nouns]:
        result = runner.invoke(app, [*words, "--help"])
        assert result.exit_code == 0, result.output


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

    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet is not None
    exec(snippet[1], {"frame": trained_on()})
    assert sent[0] == sent[1]
