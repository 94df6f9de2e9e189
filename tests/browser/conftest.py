"""One browser for all pages, and the servers that pages are read from without being written to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from demo_year import Demo
from harness import Visit, serving
from living_database import NOW_MS
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage
from monitor.storage import schema as t

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
Visitor = Callable[..., Visit]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """A function that begins a visit of a server; it ends with the test."""
    begun: list[Visit] = []

    def begin(base: str, scheme: str = "light", width: int = 1440) -> Visit:
        begun.append(Visit(browser, base, scheme, width))
        return begun[-1]

    yield begin
    for one in begun:
        one.context.close()


def _served(file: Path, now_ms: int) -> Iterator[tuple[str, Engine]]:
    engine = storage.create(f"sqlite:///{file}")
    with serving(engine, now_ms=now_ms) as url:
        yield url, engine
    engine.dispose()


@pytest.fixture(scope="package")
def living_site(living_file: Path) -> Iterator[tuple[str, Engine]]:
    """The living database, served: its address and its engine."""
    yield from _served(living_file, NOW_MS)


@pytest.fixture(scope="package")
def hostile_site(hostile_file: Path) -> Iterator[tuple[str, Engine]]:
    """The living database with hostile names, served."""
    yield from _served(hostile_file, NOW_MS)


@pytest.fixture(scope="package")
def demo_site(demo: Demo) -> Iterator[tuple[str, Engine]]:
    """The demo's year, served as it looked when it had just ended."""
    engine = storage.create(f"sqlite:///{demo.file}")
    with engine.connect() as conn:
        looked_ms = conn.execute(sa.select(sa.func.max(t.stream_position.c.fetched_ms))).scalar()
    engine.dispose()
    assert looked_ms is not None
    yield from _served(demo.file, int(looked_ms) + 2_000)


@pytest.fixture(scope="package")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Engine]]:
    """An installation that monitors nothing yet."""
    file = tmp_path_factory.mktemp("empty") / "empty.db"
    engine = storage.create(f"sqlite:///{file}")
    storage.upgrade(engine)
    with serving(engine, now_ms=NOW_MS) as url:
        yield url, engine
    engine.dispose()
