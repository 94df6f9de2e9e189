"""Each peer lives in an environment of its own, because none of them allows today's pandas.

Made once under .venv/peers (not part of the repository), from pinned packages, with whatever
index and settings pip has here. Peers run in processes of their own: nothing of them is
imported or copied. All are under the Apache License 2.0, as their packages say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".venv" / "peers"
# What each needs, with what it leaves open: statsmodels is imported by NannyML, not required;
# whylogs breaks on numpy 2, which newer pyarrows ask for.
PACKAGES = {
    "evidently": ("evidently==0.7.23", "pandas<3"),
    "nannyml": ("nannyml==0.13.1", "pandas<3", "statsmodels"),
    "whylogs": ("whylogs==1.6.4", "pandas<3", "numpy<2", "pyarrow==18.1.0"),
}
# They tell their makers that they are used unless they are told not to.
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1", "WHYLOGS_NO_ANALYTICS": "1"}


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, made if there is none."""
    folder = FOLDER / peer
    python = folder / "bin" / "python"
    marker = folder / "made.json"
    packages = list(PACKAGES[peer])
    if marker.exists() and json.loads(marker.read_text()) == packages:
        return python
    print(
        f"Installing {', '.join(packages)} into {folder} (once, some minutes) ...", file=sys.stderr
    )
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *packages], check=True)
    marker.write_text(json.dumps(packages))
    return python


def run(peer: str, *arguments: str) -> Any:
    """Run this folder's `ask_<peer>.py` in the peer's environment; return the JSON it prints."""
    script = Path(__file__).parent / f"ask_{peer}.py"
    done = subprocess.run(
        [str(python_of(peer)), str(script), *arguments],
        env=os.environ | QUIET,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
