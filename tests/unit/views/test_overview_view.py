"""The list of models: its order, its numbers, its states, and what is news."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from living_database import NOW_MS, day_ms
from seed_database import DIGEST, seed
from sqlalchemy.engine import Engine

from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, reading, transaction
from monitor.views.overview import ORDER, Line, Overview, overview


def read(engine: Engine, **more: Any) -> Overview:
    with reading(engine) as conn:
        return overview(conn, **more)


def line(view: Overview, name: str) -> Line:
    return next(found for found in view.lines if found.name == name)


def test_models_stand_in_the_order_of_how_bad_they_are(living: Engine) -> None:
    lines = read(living).lines
    assert [found.name for found in lines] == [
        "parcel-delay", "taxi-out", "fare-estimate", "gate-hold",
    ]  # fmt: skip
    assert [found.health for found in lines] == [
        "critical", "drifting", "unreferenced", "collecting",
    ]  # fmt: skip
    places = [ORDER.index(found.health) for found in lines]
    assert places == sorted(places)


def test_a_model_is_told_by_its_newest_version(living: Engine) -> None:
    found = line(read(living), "parcel-delay")
    assert found.version is not None
    assert found.version.name == "2"
    assert (found.moved, found.features) == (2, 11)
    assert found.standing[0].feature == "carrier"
    assert found.worst is not None
    assert found.worst["feature"] == "carrier"
    # From the 9th, when it replaced its predecessor, to the last day that is over.
    assert [day.day for day in found.days] == list(range(9, 16))
    assert found.drifted[0] == 0
    assert found.drifted[-1] == 2
    assert found.usual == pytest.approx(sum(found.volume[:-1]) / len(found.volume[:-1]))


def test_a_model_that_collects_says_when_its_first_window_is_due(living: Engine) -> None:
    first = line(read(living), "gate-hold").first
    assert first is not None
    assert first.length == "hour"
    assert first.rows > 0
    assert 0 < first.full <= 1
    assert first.due_ms > first.end_ms > first.start_ms


def test_records_without_a_reference_are_a_line_of_their_own(living: Engine) -> None:
    found = line(read(living), "fare-estimate")
    assert found.health == "unreferenced"
    assert found.version is None
    assert sum(deficit.records for deficit in found.deficits) > 0


def test_a_new_version_without_a_reference_is_told_by_the_model(engine: Engine) -> None:
    seed(engine, episodes=())
    assert line(read(engine), "flight-delay").health == "healthy"
    with transaction(engine) as conn:
        conn.execute(
            sa.insert(t.deficit).values(
                stream_id=1, partition=0, model="flight-delay", version="2",
                from_offset=0, to_offset=9, records=9,
            )
        )  # fmt: skip
    found = line(read(engine), "flight-delay")
    assert found.health == "unreferenced"
    assert [deficit.version for deficit in found.deficits] == ["2"]


def test_days_without_predictions_show_as_nothing(engine: Engine) -> None:
    seed(engine, episodes=())
    with transaction(engine) as conn:
        last = start_ms_of_last(conn)
        conn.execute(sa.delete(t.window).where(t.window.c.start_ms > last - 3 * 86_400_000))
    found = line(read(engine), "flight-delay")
    assert found.volume[-3:] == (0, 0, 0)
    assert found.usual is not None
    assert found.usual > 500


def start_ms_of_last(conn: sa.Connection) -> int:
    query = sa.select(sa.func.max(t.window.c.start_ms)).where(t.window.c.length == "day")
    return int(conn.execute(query).scalar_one())


def test_a_month_is_28_days_across_a_change_of_clocks(engine: Engine) -> None:
    seed(engine, days=48)  # to 20 March, New York: the clock changed on the 10th
    found = line(read(engine), "flight-delay")
    assert len(found.days) == len(found.volume) == len(found.drifted) == 28
    assert min(found.volume) > 0


def test_a_healthy_model_says_since_when_it_is_quiet(engine: Engine) -> None:
    seed(engine)
    with transaction(engine) as conn:
        conn.execute(
            sa.update(t.incident)
            .where(t.incident.c.state == "firing")
            .values(state="resolved", resolved_ms=start_ms_of_last(conn))
        )
        last = start_ms_of_last(conn)
    found = line(read(engine), "flight-delay")
    assert (found.health, found.since_ms, found.quiet_since_ms) == ("healthy", None, last)


def test_news_are_the_last_week_of_data_for_a_browser_that_was_never_here(living: Engine) -> None:
    view = read(living)
    assert not view.is_visit
    assert view.judged_to_ms is not None
    assert view.since_ms == view.judged_to_ms - 7 * 86_400_000
    assert view.news
    assert all(item.at_ms > view.since_ms for item in view.news)
    times = [item.at_ms for item in view.news]
    assert times == sorted(times, reverse=True)


def test_news_since_a_visit_are_what_was_recorded_after_it(living: Engine) -> None:
    nothing = read(living, last_visit_ms=NOW_MS + 1)
    assert nothing.is_visit
    assert nothing.news == ()
    assert nothing.judged is None
    everything = read(living, last_visit_ms=day_ms(0) - 1)
    opened = {item.group.number for item in everything.news if item.event == "opened"}
    of_the_week = {item.group.number for item in read(living).news if item.event == "opened"}
    assert of_the_week < opened  # those of the week before, too
    assert everything.judged is not None
    assert everything.judged.days >= 7


def test_what_happened_to_many_at_once_is_one_piece_of_news(living: Engine) -> None:
    view = read(living)
    keys = [(item.at_ms, item.event, item.group.number) for item in view.news]
    assert len(keys) == len(set(keys))
    assert all(not member.muted for item in view.news for member in item.members)


def test_an_empty_installation_is_an_empty_list(engine: Engine) -> None:
    view = read(engine)
    assert view.lines == view.groups == view.news == ()
    assert view.judged is None
    assert view.pipe.positions == ()


def statements(engine: Engine) -> int:
    seen: list[str] = []

    def note(_c: Any, _cur: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    read(engine)
    sa.event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_twenty_models_take_the_statements_of_one(engine: Engine) -> None:
    seed(engine, days=40)
    before = statements(engine)
    with transaction(engine) as conn:
        windows = [
            dict(row._mapping)
            for row in conn.execute(sa.select(t.window).where(t.window.c.version_id == 1))
        ]
        for n in range(10, 30):
            conn.execute(
                sa.insert(t.model).values(
                    id=n, name=f"model {n}", timezone="America/New_York", created_ms=n
                )
            )
            conn.execute(
                sa.insert(t.model_version).values(id=n, model_id=n, name="1", created_ms=n)
            )
            conn.execute(
                sa.insert(t.binding).values(
                    version_id=n, reference_digest=DIGEST, effective_from_ms=0,
                    registry_revision=1, created_ms=1,
                )
            )  # fmt: skip
            conn.execute(
                sa.insert(t.evaluator_cursor).values(
                    version_id=n, epoch=1, watermark_ms=start_ms_of_last(conn) + 90_000_000
                )
            )
            insert_rows(conn, t.window, [{**row, "version_id": n} for row in windows])
    view = read(engine)
    assert len(view.lines) >= 22
    assert sum(len(found.volume) == 28 for found in view.lines) == 21
    assert statements(engine) == before
