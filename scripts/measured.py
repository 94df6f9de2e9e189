"""Puts what a benchmark printed between the two marks of its page in docs/."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def put(page: str, lines: list[str]) -> None:
    """Replace what stands between the marks of docs/`page`."""
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{path}: {BEGIN} and {END} must be there once each")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{chr(10).join(lines).strip()}\n\n{END}{after}", "utf-8")
