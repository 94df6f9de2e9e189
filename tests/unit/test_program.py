"""A printed command begins with what a shell of this installation finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from driftline import program


def installed(folder: Path) -> Path:
    """A folder of programs with ours in it."""
    scripts = folder / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "driftline").write_text("#!/bin/sh\n")
    (scripts / "driftline").chmod(0o755)
    return scripts


def test_what_a_shell_finds_is_called_by_its_name(tmp_path: Path) -> None:
    scripts = installed(tmp_path)
    linked = tmp_path / "usr-local-bin"
    linked.mkdir()
    (linked / "driftline").symlink_to(scripts / "driftline")
    for found in (scripts / "driftline", linked / "driftline"):
        assert program.spelled(scripts, str(found), tmp_path) == "driftline"


def test_what_a_shell_would_miss_is_called_by_its_path(tmp_path: Path) -> None:
    scripts = installed(tmp_path)
    assert program.spelled(scripts, None, tmp_path) == ".venv/bin/driftline"
    # Started elsewhere, the whole path is needed.
    for here in (tmp_path / "elsewhere", scripts, None):
        assert program.spelled(scripts, None, here) == str(scripts / "driftline")


def test_another_program_of_the_name_is_not_this_one(tmp_path: Path) -> None:
    scripts, other = installed(tmp_path / "a b"), installed(tmp_path / "other")
    told = program.spelled(scripts, str(other / "driftline"), tmp_path)
    assert told == "'a b/.venv/bin/driftline'"


def test_without_a_program_the_name_is_all_there_is(tmp_path: Path) -> None:
    assert program.spelled(tmp_path, None, tmp_path) == "driftline"


@pytest.mark.parametrize("is_on_path", [True, False])
def test_a_shell_runs_what_is_printed(is_on_path: bool) -> None:
    scripts = Path(sys.executable).parent
    if not (scripts / "driftline").is_file():
        pytest.skip("driftline is not installed here")
    path = f"{scripts}:/usr/bin:/bin" if is_on_path else "/usr/bin:/bin"
    code = "from driftline.program import command; print(command('--version'))"
    environment = {**os.environ, "PATH": path}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told.startswith("driftline ") == is_on_path
    ran = subprocess.run(
        told, shell=True, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
