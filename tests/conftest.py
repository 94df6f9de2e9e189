"""What every test may use: a fresh database at this release's schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The address of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'driftline.db'}"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database at this release's schema."""
    made = storage.create(database_url)
    storage.upgrade(made)
    yield made
    made.dispose()
