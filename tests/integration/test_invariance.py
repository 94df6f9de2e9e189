"""One log in other orders, batches and partitions, read by other workers, is known as one.

What may differ is left out by `drifting.facts`: owners, wall times, numbers of revisions, what
closed a window, which partition a row came by, and what was told and withdrawn.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from typing import Any

import drifting
import pytest
import sqlalchemy as sa
from fake_source import positions
from sqlalchemy.engine import Engine
from stage import Stage

from monitor.clock import SystemClock
from monitor.detect.plan import Due
from monitor.evaluate import changes
from monitor.storage import schema as t

# By how many hours a record may come early or late: from in order to anywhere in the log.
DISORDER_H = (0.0, 3.0, 30.0, float(drifting.HOURS))
SEEDS = (0, 5, 6)


def found(engine: Engine, seed: int, partitions: int, workers: int, hours: float) -> dict[str, Any]:
    """What is known of the log in the end, when a seed says how it is read."""
    rng = random.Random(seed)
    drifting.register(engine)
    spread = drifting.disordered(rng, partitions, hours)
    batch = rng.choice((100, 400, 2_000))
    clock = drifting.read(engine, spread, workers=workers, batch=batch, rng=rng)
    drifting.judge(engine, clock.now_ms())
    return drifting.facts(engine)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("partitions", [1, 2, 4])
def test_partitions_and_workers_change_nothing_that_is_known(
    engine: Engine, drifting_facts: dict[str, Any], partitions: int, workers: int
) -> None:
    assert drifting_facts["episodes"]
    have = found(engine, 10 * partitions + workers, partitions, workers, 3.0)
    assert drifting.different(drifting_facts, have) == []


@pytest.mark.parametrize("hours", DISORDER_H)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_log_changes_nothing_that_is_known(
    engine: Engine, drifting_facts: dict[str, Any], seed: int, hours: float
) -> None:
    have = found(engine, seed, 2, 2, hours)
    with engine.connect() as conn:
        judged_again = conn.execute(sa.select(sa.func.max(t.window.c.revision))).scalar_one() > 1
    assert judged_again or hours == 0, "nothing was late: this proves nothing"
    assert drifting.different(drifting_facts, have) == []


@pytest.mark.both_databases
def test_on_either_database(engine: Engine, drifting_facts: dict[str, Any]) -> None:
    have = found(engine, 77, 4, 4, 30.0)
    assert drifting.different(drifting_facts, have) == []


def test_were_late_events_not_judged_again_the_order_would_matter(
    engine: Engine, drifting_facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: windows are judged once."""
    due_windows = changes.due_windows

    def only_new(*args: Any, **more: Any) -> list[Due]:
        return [window for window in due_windows(*args, **more) if window.revision == 1]

    monkeypatch.setattr(changes, "due_windows", only_new)
    have = found(engine, 5, 2, 2, 30.0)
    assert "panes" not in {line.split(":")[0] for line in drifting.different(drifting_facts, have)}
    assert drifting.different(drifting_facts, have) != []


# kafka-python leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
def test_four_workers_on_four_partitions_of_apache_kafka(
    kafka_stage: Stage, drifting_facts: dict[str, Any]
) -> None:
    stage, rng = kafka_stage, random.Random(4)
    drifting.register(stage.engine)
    members = [stage.member(options={"max_poll_records": 200}) for _ in range(4)]

    def shared() -> bool:
        return len({p.owner for p in positions(stage.engine)} - {None}) == 4

    stage.until(shared, "they do not share")
    for partition, values in enumerate(drifting.disordered(rng, 4, 30.0)):
        stage.send(values[: len(values) // 2], partition)
        stage.step()
        stage.send(values[len(values) // 2 :], partition)
    drifting.judge(stage.engine, SystemClock().now_ms())
    stage.read(*members)
    stage.until(
        lambda: all(p.caught_up_for_ms > 1_000 for p in positions(stage.engine)), "it is not idle"
    )
    drifting.judge(stage.engine, SystemClock().now_ms())
    assert drifting.different(drifting_facts, drifting.facts(stage.engine)) == []


@pytest.fixture
def kafka_stage(kafka: str, engine: Engine) -> Iterator[Stage]:
    with Stage(kafka, engine, partitions=4) as made:
        yield made
    gc.collect()
