"""What the README names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
