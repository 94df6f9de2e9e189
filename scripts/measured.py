"""Puts what a benchmark printed between the two marks of its page in docs/."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def put(page: str, lines: list[str], only: str | None = None) -> None:
    """Replace what stands between the marks of docs/`page`, or one section of it.

    `only` is the title of the section, whose heading is among the lines; a new one comes last.
    """
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{path}: {BEGIN} and {END} must be there once each")
    before, _, rest = text.partition(BEGIN)
    was, _, after = rest.partition(END)
    made = "\n".join(lines).strip()
    if only is not None:
        first, heading, rest = f"{was.strip()}\n".partition(f"### {only}\n")
        _, mark, others = rest.partition("\n### ")
        made = f"{first if heading else first + chr(10)}{made}\n{mark}{others}".strip()
    path.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", "utf-8")
