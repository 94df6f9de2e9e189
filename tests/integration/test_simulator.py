"""Whatever call fails, and wherever the process ends, every record is counted once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import simulate
import simulator
from faults import HOWS
from simulator import Story, World, differences, tale
from sqlalchemy.engine import Engine

SEEDS = 60
# Enough that each control miscounts in some.
CONTROL_SEEDS = 120


@pytest.fixture(autouse=True)
def _known_references() -> Iterator[None]:
    with simulator.known_references():
        yield


@pytest.mark.parametrize("how", HOWS)
def test_at_every_call_of_a_life(engine: Engine, how: str) -> None:
    """For every k: the k-th call of the broker or of the database goes wrong."""
    untroubled = World(engine)
    with untroubled.calls:
        tale(untroubled)
        n_calls = len(untroubled.calls.made)
        untroubled.finish()
        assert differences(untroubled) == []
    assert {"poll", "identity", "bounds", "seek", "commit", "sql COMMIT", "sql INSERT pane"} <= set(
        untroubled.calls.made
    )
    wrong = []
    for k in range(n_calls):
        world = World(engine)
        with world.calls:
            world.calls.arm(k, how)
            tale(world)
            world.finish()
            found = differences(world)
        # Only a call that never raises, at the very end, is without a next one that does.
        assert sum(world.calls.happened.values()) == 1 or k > n_calls - 5, k
        if found:
            wrong.append(f"call {k} ({untroubled.calls.made[k]}) {how}: {found[0]}")
    assert wrong == []


@pytest.mark.both_databases
@pytest.mark.parametrize("seed", range(3))
def test_a_story_on_either_database(engine: Engine, seed: int) -> None:
    with Story(engine, seed) as story:
        story.tell(150)
        assert story.differences() == []


def test_stories_of_many_seeds() -> None:
    told = simulate.tell(range(1_000, 1_000 + SEEDS))
    assert told.failed == {}
    assert told.stories == SEEDS
    assert sum(n for (how, _), n in told.happened.items() if how.startswith("dies")) > SEEDS / 2


@pytest.mark.parametrize("control", simulator.CONTROLS)
def test_a_loop_without_one_of_its_guards_miscounts(control: str) -> None:
    """The negative controls: if they came out right, nothing above would prove anything."""
    for first in range(0, CONTROL_SEEDS, 10):
        if simulate.tell(range(first, first + 10), control).failed:
            return
    pytest.fail(f"{CONTROL_SEEDS} stories without a guard came out right")
