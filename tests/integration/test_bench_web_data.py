"""The database that pages are timed on is one that the service could have made."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.views.scope import resolve
from monitor.views.timeline import timeline

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_web_data.py"


@pytest.fixture(scope="module")
def data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_web_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_a_small_one_has_every_window_finding_and_day_and_opens_on_a_page(
    data: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "bench.db"
    data.build(path, data.Size(features=7, segments=2, days=24, others=1, other_features=3))
    engine = storage.create(f"sqlite:///{path}")
    storage.check_schema(engine)
    with reading(engine) as conn:
        scope, notes = resolve(conn, data.MODEL, length="hour", from_ms=0)
        found = timeline(conn, scope)
        features = len(found.squares.features)
        assert (notes, scope.segments) == ((), ("all", "site=s00", "site=s01"))
        assert features == 7
        assert (found.columns.unit, len(found.columns)) == ("day", 24)
        assert not (found.squares.verdict < 0).any()  # every square has its day
        assert found.partial is not None
        counted = conn.execute(sa.select(sa.func.count()).select_from(t.finding_day)).scalar_one()
        assert counted == 24 * (7 * 3 + 3)
        assert len(resolve(conn, "model-01")[0].segments) == 1
    engine.dispose()
