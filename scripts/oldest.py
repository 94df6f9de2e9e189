"""Run the core's tests with the oldest versions that pyproject.toml allows, in .venv/oldest.

The newest are what every other test runs with (constraints.txt). The core is what counts and
judges: statistics, windows, detection, the wire, storage, and their laws. Pages and processes
are left out: they would cost minutes and depend on versions hardly at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv" / "oldest"
EXTRAS = ("arrow", "server")
# Of demo and dev: what the tests of the core import.
TOOLS = {
    "hypothesis", "jsonschema", "pandas", "polars", "psutil", "pytest", "pytest-xdist",
    "standardwebhooks",
}  # fmt: skip
TESTS = ("unit/stats", "unit/windows", "unit/detect", "unit/ingest", "unit/storage", "property")


def wanted() -> list[str]:
    """The requirements, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    found += [line for line in (*extras["demo"], *extras["dev"]) if _name(line) in TOOLS]
    return sorted({line for line in found if _name(line) != "driftline"})


def _name(requirement: str) -> str:
    return requirement.partition("[")[0].partition(">")[0].partition("=")[0]


def prepare() -> Path:
    """The environment's Python; made anew when the requirements are others."""
    requirements = wanted()
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()
    stamp, python = FOLDER / "requirements.sha256", FOLDER / "bin" / "python"
    if stamp.is_file() and stamp.read_text() == digest:
        return python
    shutil.rmtree(FOLDER, ignore_errors=True)
    uv = Path(sys.executable).parent / "uv"
    quiet = (uv, "--quiet", "--system-certs")
    subprocess.run([*quiet, "venv", "--python", sys.executable, FOLDER], check=True)
    lowest = ("--resolution", "lowest-direct", "--only-binary", ":all:", "--python", python)
    subprocess.run([*quiet, "pip", "install", *lowest, *requirements], check=True)
    stamp.write_text(digest)
    return python


def main() -> int:
    """Make the environment and run the tests in it."""
    python = prepare()
    # As a child of a run of pytest it must not take itself for one of its workers.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [python, "-m", "pytest", "-q", "-n", "logical", "--dist", "loadscope"]
    command += ["-p", "no:cacheprovider", "-k", "not postgresql", *sys.argv[1:]]
    command += [f"tests/{name}" for name in TESTS]
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env={**environment, **path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
