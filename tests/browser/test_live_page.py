"""Pages follow the database, say when they cannot, and come back by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import living_database
import pytest
import sqlalchemy as sa
from harness import QUIET_S, Visit, serving
from hostile import Names
from living_database import NOW_MS, Living
from sqlalchemy.engine import Engine

from dashboard import address
from driftline import Client
from monitor.clock import HeldClock
from monitor.storage import engine as storage
from monitor.storage import schema as t

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
NAMES = Names()
HIDE = "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {}}});"
TELL = "document.dispatchEvent(new Event('visibilitychange'))"
# Marks every element that must survive: what Dash builds anew has no mark.
KEPT = "[...document.querySelectorAll('.js-plotly-plot, .ag-root-wrapper')].map(e => e.kept)"
MARK = "document.querySelectorAll('{}').forEach(e => {{ e.kept = true }})"


def new_data(engine: Engine) -> None:
    """What an evaluation leaves: another answer, and the number that says so."""
    with storage.transaction(engine) as conn:
        conn.execute(
            sa.update(t.incident)
            .where(t.incident.c.state == "firing")
            .values(state="resolved", resolved_ms=NOW_MS)
        )
        conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))


@pytest.mark.parametrize("path", [address.model(NAMES.model), "/incidents", "/"])
def test_new_data_change_the_panels_and_nothing_else(
    visit: Visitor, living: Engine, path: str
) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base, "light", 1280)
        one.go(path)
        # So low that the page still has to be scrolled when it has less to say.
        one.page.set_viewport_size({"width": 1280, "height": 320})
        one.settle()
        one.page.evaluate("window.scrollTo(0, 60)")
        before = one.text()
        one.page.evaluate(MARK.format(".js-plotly-plot, .ag-root-wrapper, h1, [id]"))
        assert all(one.page.evaluate(KEPT))
        where = "[window.scrollY, document.documentElement.scrollHeight]"
        at, height = one.page.evaluate(where)
        new_data(living)
        one.until(lambda: one.text() != before, "the page says something else")
        one.settle()
        assert all(one.page.evaluate(KEPT))
        assert at > 0
        now, new_height = one.page.evaluate(where)
        # A browser keeps what is read in its place where what stands above it grew or shrank.
        assert now == pytest.approx(at, abs=2 + abs(new_height - height))
        assert now > 0
        assert one.seen.faults() == []


def test_what_has_the_focus_keeps_it(visit: Visitor, living: Engine) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go(address.model(NAMES.model))
        link = one.page.locator("#main a[href*='/features/']:visible").first
        link.focus()
        href = link.get_attribute("href")
        before = one.text()
        new_data(living)
        one.until(lambda: one.text() != before, "the page says something else")
        one.settle()
        assert one.page.evaluate("document.activeElement.getAttribute('href')") == href


def test_a_hidden_tab_asks_nothing_and_a_shown_one_asks_at_once(
    visit: Visitor, living: Engine
) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go(address.model(NAMES.model))
        one.page.evaluate(HIDE.format("true") + TELL)
        one.page.wait_for_timeout(300)  # an answer that was on its way
        one.asked.clear()
        one.page.wait_for_timeout(4_500)  # two ticks: there is nothing to wait for
        assert one.asked == []
        one.page.evaluate(HIDE.format("false") + TELL)
        one.until(lambda: one.asked, "a shown tab asks", timeout_s=1.5)
        assert one.seen.faults() == []


def test_a_quiet_page_asks_one_small_question_a_tick(visit: Visitor, living: Engine) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go(address.model(NAMES.model))
        one.page.wait_for_timeout(2_100)
        one.asked.clear()
        one.page.wait_for_timeout(4_100)  # two ticks
        assert 1 <= len(one.asked) <= 3
        assert {tuple(asked["changed"]) for asked in one.asked} == {("tick.n_intervals",)}


def test_a_server_that_is_gone_is_said_and_one_that_is_back_is_followed(
    visit: Visitor, living: Engine
) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go(address.model(NAMES.model))
        said = one.text("h1")
        port = urlsplit(base).port
    one.until(lambda: one.page.locator("#gone:visible").count(), "the page says it is cut off")
    assert one.text("h1") == said
    one.picture("gone")
    with serving(living, now_ms=NOW_MS, port=port or 0):
        one.until(lambda: not one.page.locator("#gone:visible").count(), "the page is back")
        one.settle()
        one.seen.forget()
        before = one.text()
        new_data(living)
        one.until(lambda: one.text() != before, "the page follows again")
        one.page.wait_for_timeout(QUIET_S * 1_000)
        assert one.seen.faults() == []


def test_a_server_that_was_upgraded_under_the_page_offers_to_load_it_anew(
    visit: Visitor, living: Engine
) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go("/incidents")
        asks = "**/_dash-update-component*"
        one.page.route(asks, lambda route: route.fulfill(status=409, body="{}"))
        one.page.evaluate("document.getElementById('pause').click()")
        one.page.evaluate("document.getElementById('pause').click()")
        button = one.page.get_by_role("button", name="Load the page anew")
        button.wait_for(timeout=10_000)
        assert "Driftline was upgraded." in one.text()
        one.page.unroute(asks)
        button.click()
        one.settle()
        one.until(lambda: "Driftline was upgraded." not in one.text(), "the page is new")
        assert one.page.locator("h1:visible").count() == 1


def test_a_database_that_is_gone_is_said_and_the_page_stays(visit: Visitor, living: Engine) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go(address.model(NAMES.model))
        heading = one.heading()
        with storage.transaction(living) as conn:
            conn.exec_driver_sql('ALTER TABLE "data_version" RENAME TO "elsewhere"')
        one.until(
            lambda: "could not be read" in one.text("body"), "the page says that it cannot read"
        )
        one.picture("database-gone")
        assert one.heading() == heading
        assert "Traceback" not in one.text("body")
        with storage.transaction(living) as conn:
            conn.exec_driver_sql('ALTER TABLE "elsewhere" RENAME TO "data_version"')
        one.until(lambda: "could not be read" not in one.text("body"), "the page reads again")
        assert one.seen.faults() == []


def test_a_page_that_was_opened_without_a_database_fills_itself_when_it_is_back(
    visit: Visitor, living: Engine
) -> None:
    with serving(living, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go("/incidents")
        # Not what the heartbeat reads: it goes on, and tells of no other version.
        with storage.transaction(living) as conn:
            conn.exec_driver_sql('ALTER TABLE "incident_event" RENAME TO "elsewhere"')
        one.page.evaluate("driftline.go('/incidents/1')")
        one.until(lambda: "could not be read" in one.text(), "the page says that it cannot read")
        with storage.transaction(living) as conn:
            conn.exec_driver_sql('ALTER TABLE "elsewhere" RENAME TO "incident_event"')
        one.until(lambda: "What happened" in one.text(), "the page is filled", timeout_s=10)
        one.until(lambda: "could not be read" not in one.text(), "and says no more of it")


def test_counting_that_stopped_is_a_banner_and_the_verdict_says_as_of_when(
    visit: Visitor, living: Engine
) -> None:
    clock = HeldClock(NOW_MS)
    with serving(living, clock=clock) as base:
        one = visit(base)
        one.go(address.model(NAMES.model))
        assert one.text("#freshness").startswith("Live")
        assert not one.page.locator("#banner .banner").count()
        clock.advance(600)
        one.until(lambda: one.page.locator("#banner .banner").count(), "the banner")
        assert one.text("#freshness").startswith("Stale")
        assert "stopped" in one.text("#banner")
        assert one.faults() == []
        one.picture("stale")


def test_from_nothing_to_the_first_incident_under_an_open_page(
    visit: Visitor, tmp_path: Path
) -> None:
    """A new user: what to type, a reference, the first events, the first alarm."""
    engine = living_database.database(tmp_path, None)
    world = living_database.begin(engine)
    with serving(engine, clock=world.clock) as base:
        one = visit(base)
        one.go("/")
        assert "driftline reference register" in one.text()
        assert "driftline demo" in one.text()
        said = one.text()
        reference = living_database.main_reference(NAMES, seed=1)
        living_database.register(world, NAMES.model, NAMES.version, reference)
        one.until(lambda: one.text() != said, "the page sees the reference")
        one.until(lambda: NAMES.model in one.text("#models"), "the model is in the bar")
        _days(world, 4)
        one.go(address.model(NAMES.model))
        assert one.heading() == NAMES.model
        calm = one.text()
        _days(world, 2, first=4, shift=1.5)
        one.until(lambda: one.text() != calm, "the page sees the drift")
        one.until(lambda: one.text("#firing") == "1", "an incident fires")
        one.go("/incidents")
        assert NAMES.weight in one.text()
        assert one.faults() == []
    engine.dispose()


def _days(world: Living, n: int, *, first: int = 0, shift: float = 0.0) -> None:
    for number in range(first, first + n):
        start_ms, end_ms = living_database.day_ms(number), living_database.day_ms(number + 1)
        times = living_database.spread(world.draw, start_ms, end_ms, 300)
        frame = living_database.rows(world.draw, world.names, times, shift=shift)
        world.at(end_ms - 60_000)
        world.log(world.names.model, world.names.version, frame)
        world.settle()
    # One more hour closes the day.
    end_ms = living_database.day_ms(first + n)
    frame = living_database.rows(
        world.draw,
        world.names,
        living_database.spread(world.draw, end_ms + 1_000, end_ms + 1_200_000, 20),
    )
    world.at(end_ms + 1_300_000)
    world.log(world.names.model, world.names.version, frame)
    world.settle()
    world.judge()


def test_a_reference_registered_over_http_fills_the_empty_page(
    visit: Visitor, tmp_path: Path
) -> None:
    engine = living_database.database(tmp_path, None)
    with serving(engine, now_ms=NOW_MS) as base:
        one = visit(base)
        one.go("/")
        draw = living_database.np.random.default_rng(5)
        times = living_database.spread(draw, NOW_MS - 20 * living_database.DAY_MS, NOW_MS, 2_000)
        frame = living_database.rows(draw, NAMES, times)
        with Client(base) as client:
            client.register_reference(
                "churn", "1", frame, prediction="prediction", score="score", timestamp="at"
            )
        one.until(lambda: "churn" in one.text("#models"), "the model is in the bar")
        one.go("/references")
        assert "churn" in one.text()
        assert one.faults() == []
    engine.dispose()


def test_the_living_world_counts_what_it_sends(tmp_path: Path) -> None:
    """The negative control of the tests above: without events nothing fires."""
    engine = living_database.database(tmp_path, None)
    world = living_database.begin(engine)
    reference = living_database.main_reference(NAMES, seed=1)
    living_database.register(world, NAMES.model, NAMES.version, reference)
    _days(world, 6)
    with engine.connect() as conn:
        assert conn.execute(sa.select(t.incident)).all() == []
        outcomes = conn.execute(
            sa.select(sa.func.sum(t.counter.c["count"])).where(t.counter.c.outcome == "prediction")
        ).scalar_one()
    assert outcomes == 6 * 300 + 20
    engine.dispose()
