"""The oldest versions that pyproject.toml allows; every other test runs with the newest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The environment is made the first time, and the tests take two minutes on an idle machine.
RUN_S = 1_200.0


def test_the_core_s_tests_pass_with_the_oldest_allowed_versions() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "oldest.py", "--tb=short"],
        cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout
