"""Two owners of one partition: every record is counted once, and only the guard makes it so."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from fake_source import (
    FakeSource,
    FakeTopic,
    Unguarded,
    counters,
    positions,
    prediction,
    recount,
    register,
    stored_counts,
)
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from monitor.clock import HeldClock

pytestmark = pytest.mark.both_databases

INTERVAL_S = 30.0


def _two_owners(engine: Engine, first: type[Loop]) -> tuple[FakeTopic, int]:
    """The first owner stops between poll and commit; the second takes over; the first wakes up."""
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    topic.extend(prediction(i) for i in range(100))
    settings = IngestSettings("", "", checkpoint_interval_s=INTERVAL_S)
    one = FakeSource(topic, clock)
    zombie = first(engine, one, settings, clock, lambda _low, high: high)
    one.give(0)
    zombie.step()  # open, claim
    zombie.step()  # read; the checkpoint is not due
    assert positions(engine)[0].next_offset == 0

    two = FakeSource(topic, clock)
    owner = Loop(engine, two, settings, clock)
    two.give(0)  # the group believes that the first is dead, and the first does not know
    owner.step()
    owner.step()
    clock.advance(INTERVAL_S)
    owner.step()
    assert positions(engine)[0].next_offset == 100

    zombie.step()  # its checkpoint is due, too
    polls = one.polls
    zombie.step()
    assert one.polls == polls + 1
    return topic, counters(engine)["prediction"]


def test_a_zombie_that_wakes_up_behind_a_new_owner_counts_nothing(engine: Engine) -> None:
    topic, counted = _two_owners(engine, Loop)
    assert counted == 100
    reference = register(engine)
    assert stored_counts(engine, reference) == recount(engine, topic.logs.values())


def test_without_the_guard_the_same_story_counts_twice(engine: Engine) -> None:
    _, counted = _two_owners(engine, Unguarded)
    assert counted == 200


def test_a_fenced_owner_polls_and_waits_before_it_claims_again(engine: Engine) -> None:
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    settings = IngestSettings("", "", checkpoint_interval_s=INTERVAL_S)
    sources = [FakeSource(topic, clock) for _ in range(2)]
    first, second = (Loop(engine, s, settings, clock, lambda _l, high: high) for s in sources)
    for source, loop in zip(sources, (first, second), strict=True):
        source.give(0)
        loop.step()
    topic.append(prediction(1))
    first.step()
    clock.advance(INTERVAL_S)
    first.step()  # fenced by the second's claim
    epoch = positions(engine)[0].claim_epoch
    first.step()
    assert positions(engine)[0].claim_epoch == epoch, "it claimed at once"
    clock.advance(3.1)
    first.step()
    assert positions(engine)[0].claim_epoch == epoch + 1
    assert positions(engine)[0].fenced == 1


def test_a_fence_is_told_though_the_group_takes_the_partition_away_before_the_next_claim(
    engine: Engine,
) -> None:
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    settings = IngestSettings("", "", checkpoint_interval_s=INTERVAL_S)
    sources = [FakeSource(topic, clock) for _ in range(2)]
    first, second = (Loop(engine, s, settings, clock, lambda _l, high: high) for s in sources)
    for source, loop in zip(sources, (first, second), strict=True):
        source.give(0)
        loop.step()
    topic.append(prediction(1))
    first.step()
    clock.advance(INTERVAL_S)
    first.step()  # fenced by the second's claim
    sources[0].take(0, kind="lost")
    sources[0].give(0)
    first.step()
    clock.advance(INTERVAL_S)
    second.step()
    clock.advance(3.1)
    first.step()
    assert positions(engine)[0].claim_epoch == 3
    assert positions(engine)[0].fenced == 1


def taken_in_turns(engine: Engine, uniform: Callable[[float, float], float]) -> tuple[int, int]:
    """Two members believe that a partition is theirs, and step a second after each other.

    Their checkpoints are due every two seconds: each is due a second after the other one's claim.
    Returns what was written, and how often it was claimed, of at most 60 turns.
    """
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    topic.extend(prediction(i) for i in range(100))
    settings = IngestSettings("", "", checkpoint_interval_s=2.0)
    sources = [FakeSource(topic, clock) for _ in range(2)]
    loops = [Loop(engine, source, settings, clock, uniform) for source in sources]
    for source in sources:
        source.give(0)
    for turn in range(60):
        for _ in range(4):  # long enough to be refused, to claim, and to read
            loops[turn % 2].step()
        clock.advance(1.0)
        if positions(engine)[0].next_offset:
            break
    (found,) = positions(engine)
    return found.next_offset, found.claim_epoch


@pytest.mark.parametrize("seed", range(5))
def test_two_who_fence_each_other_get_on_because_they_wait_by_chance(
    engine: Engine, seed: int
) -> None:
    written, claims = taken_in_turns(engine, random.Random(seed).uniform)
    assert written == 100
    assert claims < 30
    assert counters(engine)["prediction"] == 100


def test_two_who_claim_at_once_after_a_fence_never_write_anything(engine: Engine) -> None:
    """The control: each claims in time to refuse the other one's checkpoint."""
    assert taken_in_turns(engine, lambda _low, _high: 0.0) == (0, 60)


def test_a_fenced_owner_whose_partition_was_taken_does_not_claim_again(engine: Engine) -> None:
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    topic.append(prediction(1))
    settings = IngestSettings("", "", checkpoint_interval_s=INTERVAL_S)
    sources = [FakeSource(topic, clock) for _ in range(2)]
    first, second = (Loop(engine, s, settings, clock, lambda _l, high: high) for s in sources)
    sources[0].give(0)
    first.step()
    first.step()
    sources[1].give(0)
    second.step()
    sources[0].take(0, kind="lost")
    epoch = positions(engine)[0].claim_epoch
    for _ in range(5):
        clock.advance(INTERVAL_S)
        first.step()
    assert positions(engine)[0].claim_epoch == epoch


@pytest.mark.parametrize("kind", ["revoked", "lost"])
def test_what_is_held_is_written_on_revocation_and_dropped_on_loss(
    engine: Engine, kind: str
) -> None:
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    topic.extend(prediction(i) for i in range(10))
    source = FakeSource(topic, clock)
    loop = Loop(engine, source, IngestSettings("", "", checkpoint_interval_s=INTERVAL_S), clock)
    source.give(0)
    loop.step()
    loop.step()
    source.take(0, kind=kind)  # type: ignore[arg-type]
    loop.step()
    assert positions(engine)[0].next_offset == (10 if kind == "revoked" else 0)


def test_a_revocation_noticed_too_late_writes_nothing(engine: Engine) -> None:
    register(engine)
    clock, topic = HeldClock(), FakeTopic()
    topic.extend(prediction(i) for i in range(10))
    source = FakeSource(topic, clock)
    loop = Loop(engine, source, IngestSettings("", "", checkpoint_interval_s=100.0), clock)
    source.give(0)
    loop.step()
    loop.step()
    source.take(0)
    clock.advance(16.0)  # a third of the session is 15 s
    loop.step()
    assert positions(engine)[0].next_offset == 0
