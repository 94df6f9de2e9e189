"""Driftline beside its peers, dated: `make bench-peers`; `ARGS=--write` writes docs/peers.md.

`--only SECTION` measures one section again, which is how to go through them on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import environment
import evidently_numbers
import nannyml_logs

sys.path.insert(0, str(Path(__file__).parents[1]))
import measured

# Heading -> the peer, and what makes its lines.
SECTIONS: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "Evidently's numbers": ("evidently", evidently_numbers.report),
    **{
        f"NannyML's {log}": ("nannyml", partial(nannyml_logs.report, log))
        for log in nannyml_logs.LOGS
    },
}


def main() -> None:
    """Print the sections, each as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS, help="one section instead of all")
    parser.add_argument("--write", action="store_true", help="put them into docs/peers.md")
    options = parser.parse_args()
    for title, (peer, report) in SECTIONS.items():
        if options.only not in (None, title):
            continue
        when = f"Measured on {datetime.now(UTC).date()} by `make bench-peers`"
        says = f"{when}: {environment.PACKAGES[peer][0]}."
        lines = [f"### {title}", "", says, "", *report()]
        print("\n".join(lines), flush=True)
        if options.write:
            measured.put("peers.md", lines, title)


if __name__ == "__main__":
    main()
