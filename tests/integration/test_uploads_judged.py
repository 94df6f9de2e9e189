"""What is found in uploaded history is what is found in the same events that a stream counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_source import KAFKA_MS, Entry
from judged_world import START_MS
from serving import served
from sqlalchemy.engine import Engine
from test_replay_judged import DAYS, Story, assert_same, events, reference

from consumers.admit import Rules, admit
from consumers.count import count
from driftline import Client
from driftline.history import Panes, Profiles
from driftline.stats.lengths import DAY_MS, HOUR_MS
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


def history(engine: Engine, from_day: int, to_day: int) -> Profiles:
    """What the events of these days add up to."""
    log = [
        Entry(i, KAFKA_MS, value)
        for i, (at, value) in enumerate(events())
        if from_day * DAY_MS <= at - START_MS < to_day * DAY_MS
    ]
    panes = Panes(reference(is_short=True).gridset)
    for key, profile in count(admit(log, Rules()), registry.load(engine)).counted().items():
        panes.put((key.start_ms, key.segment), profile)
    return Profiles(panes, HOUR_MS)


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Story]:
    """A database that counted the whole log."""
    engine = storage.create(f"sqlite:///{tmp_path / 'fresh.db'}")
    storage.upgrade(engine)
    story = Story(engine)
    story.bind(reference(is_short=True))
    story.flow(0, DAYS)
    yield story
    engine.dispose()


def close(story: Story) -> None:
    """Judge the last windows, too: nothing more comes."""
    settings = EvaluateSettings("", idle_timeout_s=0.001, stalled_after_s=1e9)
    Evaluator(story.engine, settings, now_ms=story.rig.clock.now_ms).step()


def test_history_before_the_stream_is_judged_as_if_it_had_been_streamed(
    engine: Engine, whole: Story
) -> None:
    story = Story(engine)
    story.bind(reference(is_short=True))
    story.flow(20, DAYS)
    before, must = story.facts(), whole.facts()
    assert before["incidents"] != must["incidents"], "there was nothing to find"
    with served(engine, story.rig.clock) as url, Client(url) as client:
        client.upload_history("m", "1", history(engine, 0, 20))
    story.judge()
    assert_same(story.facts(), must)
    assert story.rows(t.evaluator_cursor)[0].rejudge_from_ms is None
    story.judge()
    assert_same(story.facts(), must)


def test_a_version_that_has_nothing_but_history_is_judged(engine: Engine, whole: Story) -> None:
    """In two parts: what lies between two windows is judged with both."""
    story = Story(engine)
    story.bind(reference(is_short=True))
    with served(engine, story.rig.clock) as url, Client(url) as client:
        client.upload_history("m", "1", history(engine, 0, 17))
        story.judge()
        assert story.rows(t.window)
        client.upload_history("m", "1", history(engine, 17, DAYS))
        story.judge()
    close(whole)
    must = whole.facts()
    # A stream that ends falls silent; history that ends does not.
    must["incidents"] = [row for row in must["incidents"] if "'volume'" not in row]
    assert_same(story.facts(), must)
    assert {row.closed_by for row in story.rows(t.window)} <= {"watermark", "idle"}
