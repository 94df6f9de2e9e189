"""Both comparisons, dated: `make bench-peers`; `ARGS=--write` puts them into docs/peers.md."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import environment
import evidently_numbers
import nannyml_logs

sys.path.insert(0, str(Path(__file__).parents[1]))
import measured


def main() -> None:
    """Print both; fail where numbers of one definition differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/peers.md")
    options = parser.parse_args()
    packages = ", ".join(made[0] for made in environment.PACKAGES.values())
    lines = [f"Measured on {datetime.now(UTC).date()} by `make bench-peers`: {packages}."]
    numbers = list(evidently_numbers.lines())
    lines += ["", "### Evidently's numbers", "", *evidently_numbers.report(numbers)]
    lines += ["", "### NannyML's logs", *nannyml_logs.report()]
    print("\n".join(lines))
    if any(line.is_same is False for line in numbers):
        sys.exit("numbers of one definition differ")
    if options.write:
        measured.put("peers.md", lines)


if __name__ == "__main__":
    main()
