"""The transitions of states as the docs draw them, in mermaid."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
# Where something begins or is gone.
OUTSIDE = "[*]"
_BLOCK = re.compile(r"```mermaid\nstateDiagram-v2\n(.*?)```", re.DOTALL)
_LINE = re.compile(r"^ +(\[\*\]|\w+) --> (\[\*\]|\w+)(?:: .+)?$")

Step = tuple[str, str]


def drawn(page: str, with_state: str) -> set[Step]:
    """Return what the diagram of a page draws that knows a state.

    Every line of it is a transition, and none is drawn twice.
    """
    blocks = [one for one in _BLOCK.findall((DOCS / page).read_text()) if with_state in one]
    assert len(blocks) == 1, (page, with_state, len(blocks))
    found: list[Step] = []
    for line in blocks[0].splitlines():
        matched = _LINE.match(line)
        assert matched is not None, line
        found.append((matched[1], matched[2]))
    assert len(found) == len(set(found)), found
    return set(found)
