"""How tests are spread over workers: a module to one worker, pages' tests to whoever is free.

A module's own databases, servers and builds are made once that way; tests of pages share
nothing. Groups by mark (`--dist loadgroup`) are of no use: pytest 9.2 has node ids that xdist
3.8 does not change, so every test was a group of its own.
"""

from __future__ import annotations

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

# What takes minutes begins first: begun last, it would keep one worker busy and others idle.
# The demo's year comes before all that waits for it.
FIRST: Final = (
    "tests/integration/test_demo.py",
    "tests/integration/test_wheel.py",
    "tests/integration/test_oldest.py",
    "tests/integration/test_tutorial.py",
    "tests/integration/test_command_line.py",
    "tests/integration/test_alerts_decided.py",
)
# Then what starts processes, and last the many small pieces that even out the workers.
FOLDERS: Final = ("integration", "property", "unit", "browser")


def module_of(nodeid: str) -> str:
    """The module of a test, as a path from the checkout."""
    return nodeid.partition("::")[0]


def place(item: pytest.Item) -> tuple[int, int]:
    """Where a test comes in the order of all."""
    module = module_of(item.nodeid)
    folder = module.split("/")[1] if module.count("/") > 1 else ""
    return (
        FIRST.index(module) if module in FIRST else len(FIRST),
        FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS),
    )


class Modules(LoadScopeScheduling):
    """Deals out modules, and tests of pages one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith("tests/browser/") else module_of(nodeid)
