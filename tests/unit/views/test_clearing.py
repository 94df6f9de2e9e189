"""The line below which an incident clears is drawn by the monitor that judges its windows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.detect.spec import MonitorSpec
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.rows import OPEN_STATES
from monitor.views.episodes import opened
from tests.feature_world import FeatureWorld, drifted


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureWorld]:
    made = drifted(tmp_path_factory.getbasetemp(), tmp_path)
    yield made
    made.engine.dispose()


def line_of(world: FeatureWorld) -> float:
    with reading(world.engine) as conn:
        (number,) = [
            i.number
            for i in reads.incidents(conn, states=OPEN_STATES)
            if (i.feature, i.segment, i.kind) == ("x", "all", "distribution")
        ]
        holds = opened(conn, number).why.holds
    (line,) = {
        hold.clears_below
        for hold in holds
        if (hold.incident.number, hold.statistic, hold.length) == (number, "psi", "day")
    }
    assert line is not None
    return line


def set_profile(world: FeatureWorld, revision: int, profile: str, after_ms: int) -> None:
    spec = MonitorSpec(profile=profile).to_json()
    with transaction(world.engine) as conn:
        model_id = conn.execute(sa.select(t.model.c.id)).scalars().first()
        conn.execute(
            t.monitor.insert().values(
                model_id=model_id,
                revision=revision,
                spec=spec,
                created_ms=0,
                after_by_length=json.dumps({"day": after_ms}),
            )
        )


def test_a_line_is_of_the_profile_that_judged_the_window(world: FeatureWorld) -> None:
    standard = line_of(world)
    set_profile(world, 2, "sensitive", 2**53)  # of windows that are not there yet
    assert line_of(world) == standard
    set_profile(world, 3, "sensitive", 1)
    assert line_of(world) == pytest.approx(standard - 0.025)
