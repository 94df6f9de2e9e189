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
# The demo's years come before all that waits for them.
FIRST: Final = (
    "tests/integration/test_demo_retrains.py",
    "tests/integration/test_demo.py",
    "tests/integration/test_wheel.py",
    "tests/integration/test_oldest.py",
    "tests/integration/test_tutorial.py",
    "tests/integration/test_chaos.py",
    "tests/integration/test_command_line.py",
    "tests/integration/test_pressure.py",
    "tests/integration/test_alerts_decided.py",
    "tests/integration/test_kafka_security.py",
    "tests/integration/test_secured_kafka.py",
    "tests/integration/test_doctor_whole.py",
    "tests/integration/test_postgres_living.py",
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


def unit_of(nodeid: str) -> str:
    """What is left to one worker: the module, of pages the single test."""
    return nodeid if nodeid.startswith("tests/browser/") else module_of(nodeid)


class Modules(LoadScopeScheduling):
    """Deals out units of tests, each to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


class Watch:
    """Fails a run in which two workers had tests of one module: it costs minutes, and is silent."""

    def __init__(self) -> None:
        self._workers: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down which worker had the module."""
        worker = getattr(report, "worker_id", "one")
        self._workers.setdefault(unit_of(report.nodeid), set()).add(worker)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the run a failure."""
        if self.split():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why."""
        for name in self.split():
            terminalreporter.write_line(f"two workers had tests of {name}: see tests/spread.py")

    def split(self) -> list[str]:
        """What was not left to one worker."""
        return sorted(name for name, workers in self._workers.items() if len(workers) > 1)
