"""The simulated worlds live beside the script that prints their tables."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
