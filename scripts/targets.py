"""Install real services that are told of retrainings, and run `tests/targets` against them.

`make test-targets` (ARGS="--only airflow3 -k paused"): each service has an environment of its own
below `.venv-targets`, a few hundred MB together, installed once. Whatever is started is ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-targets"
# Our own SDK is what their trainings report with.
_SDK = ("--editable", f"{ROOT}[arrow]")
ENVIRONMENTS = {
    "airflow3": ("apache-airflow==3.3.2", *_SDK),
    "airflow2": ("apache-airflow==2.11.2", *_SDK),
    "mlflow": ("mlflow==3.17.2", "--editable", f"{ROOT}[mlflow]"),
}
MOST_S = 600


def install(name: str) -> None:
    """Make an environment, unless what it is made of is what it was made of."""
    target = FOLDER / name
    made, wanted = target / "made-of.txt", "\n".join(ENVIRONMENTS[name])
    if made.exists() and made.read_text() == wanted:
        return
    print(f"Installing {ENVIRONMENTS[name][0]} into {target} (once) ...", flush=True)
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, target], check=True)
    python = target / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", python, *ENVIRONMENTS[name]], check=True)
    made.write_text(wanted)


def main() -> int:
    """Install and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="of " + ", ".join(ENVIRONMENTS) + ", by commas")
    parser.add_argument("--install", action="store_true", help="install, and test nothing")
    asked, more = parser.parse_known_args()
    names = asked.only.split(",") if asked.only else list(ENVIRONMENTS)
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}: {', '.join(ENVIRONMENTS)}")
    for name in names:
        install(name)
    if asked.install:
        return 0
    environment = {
        **os.environ, "DRIFTLINE_TARGETS": str(FOLDER), "DRIFTLINE_TARGETS_ONLY": ",".join(names),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-n", "0", "--durations", "8", "tests/targets"]
    with subprocess.Popen([*command, *more], cwd=ROOT, env=environment) as tests:
        try:
            return tests.wait(MOST_S)
        except subprocess.TimeoutExpired:
            # As Ctrl-C would: what they started is ended by them.
            tests.send_signal(signal.SIGINT)
            tests.wait(60)
    print(f"the targets took longer than {MOST_S} s", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
