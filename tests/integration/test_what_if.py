"""`driftline replay --what-if` judges stored history by other limits, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from judged_world import START_MS, World, frame, world_of
from typer.testing import CliRunner

from driftline.errors import ConfigError, StatisticError
from driftline.stats.lengths import DAY_MS
from driftline.stats.reference import build_reference
from monitor.cli.app import app
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


@pytest.fixture
def world(engine: sa.Engine) -> World:
    """Six days, x shifted a little on the third and fourth: one incident was told."""
    reference = build_reference(
        frame(START_MS - 28 * DAY_MS, 28 * 24, 1), timestamp="at", categorical=("c",)
    )
    world = world_of(engine, reference)
    world.write(START_MS, 24 * 2)
    world.write(START_MS + 2 * DAY_MS, 24 * 2, shift=0.9)
    world.write(START_MS + 4 * DAY_MS, 24 * 2, seed=8)
    world.evaluator().step()
    return world


def everything(world: World) -> list[Any]:
    with world.engine.connect() as conn:
        return [
            sorted(map(repr, conn.execute(sa.select(table)).all()))
            for table in t.metadata.sorted_tables
        ]


def ask(world: World, tmp_path: Path, text: str, *words: str) -> Any:
    file = tmp_path / "limits.toml"
    file.write_text(text)
    url = world.engine.url.render_as_string(hide_password=False)
    return CliRunner().invoke(
        app, ["replay", "--database", url, "--what-if", str(file), *words], catch_exceptions=True
    )


def test_a_limit_that_is_never_reached_would_have_told_nothing(
    world: World, tmp_path: Path
) -> None:
    before = everything(world)
    said = ask(world, tmp_path, '[limits]\n"x:psi" = [30.0, 40.0]\n')
    assert said.exit_code == 0, said.exception
    assert "incidents: 0 instead of 1, 0 the same" in said.output
    assert "- #1 x distribution, critical" in said.output
    assert everything(world) == before
    (found,) = json.loads(
        ask(world, tmp_path, '[limits]\n"x:psi" = [30.0, 40.0]\n', "--json").output
    )
    assert (found["model"], found["before"], found["after"]) == ("m", 1, 0)
    assert [each["number"] for each in found["gone"]] == [1]
    assert everything(world) == before


def test_the_limits_as_they_are_change_nothing(world: World, tmp_path: Path) -> None:
    said = ask(world, tmp_path, 'profile = "standard"\n')
    assert "incidents: 1 instead of 1, 1 the same" in said.output


def test_a_limit_of_no_feature_is_refused(world: World, tmp_path: Path) -> None:
    said = ask(world, tmp_path, '[limits]\n"wind:psi" = 0.3\n')
    assert isinstance(said.exception, StatisticError)
    assert "wind" in str(said.exception)
    said = ask(world, tmp_path, 'profile = "quiet"\n', "--model", "n")
    assert isinstance(said.exception, ConfigError)


def test_it_needs_no_broker(world: World, tmp_path: Path) -> None:
    said = ask(world, tmp_path, 'profile = "quiet"\n', "--kafka", "127.0.0.1:1")
    assert said.exit_code == 0
