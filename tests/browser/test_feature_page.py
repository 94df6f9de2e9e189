"""A feature's page under the fingers: fast keys, a choice taken back, ranges, the search."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from harness import Visit
from sqlalchemy.engine import Engine

from dashboard import address
from monitor.storage import schema as t
from monitor.storage.engine import reading

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
MODEL, FEATURE = "flight-delay", "temp"
STEPS = 10


def asked(one: Visit) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(one.page.url).query).items()}


def starts(engine: Engine, length: str) -> list[str]:
    w = t.window.c
    query = sa.select(w.start_ms).where(w.length == length, w.segment == "all").order_by(w.start_ms)
    with reading(engine) as conn:
        return [address.rfc3339(ms) for ms in conn.execute(query).scalars()]


def test_ten_fast_steps_are_ten_windows(visit: Visitor, demo_site: tuple[str, Engine]) -> None:
    base, engine = demo_site
    days = starts(engine, "day")
    one = visit(base)
    one.go(address.feature(MODEL, FEATURE, at=days[-3]))
    one.asked.clear()
    for _ in range(STEPS):
        one.page.keyboard.press("ArrowLeft")
    # The address does not wait for the server.
    one.until(lambda: asked(one)["at"] == days[-3 - STEPS], "all steps are in the address", 2.0)
    one.settle()
    one.until(lambda: f'"{STEPS}"' and days[-3 - STEPS][:10] in view(one), "the page is there")
    assert asked(one)["at"] == days[-3 - STEPS]
    questions = [each for each in one.asked if "feature-" in each["output"]]
    assert len(questions) <= 4  # the first step and the last one, not each of them
    for _ in range(3):
        one.page.keyboard.press("ArrowRight")
    one.settle()
    one.until(lambda: days[-STEPS][:10] in view(one), "three back")
    one.page.go_back()
    one.settle()
    assert one.seen.faults() == []


def view(one: Visit) -> str:
    """The window that the page says it shows."""
    found = one.page.locator("#feature-view").get_attribute("data-view") or ""
    return parse_qs(urlsplit(found).query).get("at", [""])[0]


def test_a_choice_that_is_taken_back_shows_what_stands(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    base, _ = demo_site
    one = visit(base)
    one.go(address.feature(MODEL, "airport_load", stat="psi"))
    before = one.controls()
    box = one.page.locator("""#main [id*='"key":"view"']""").first
    box.locator("label", has_text="ECDF").first.click()
    one.until(lambda: asked(one).get("view") == "ecdf", "the address says it")
    one.page.evaluate("history.back()")  # before the server has answered, or after
    one.until(lambda: "view" not in asked(one), "back")
    one.settle()
    one.until(lambda: one.controls() == before, "the switch stands where the page does")
    assert "view" not in asked(one)


def test_a_preset_moves_on_with_the_data_and_dates_stand(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    base, _ = demo_site
    for width in (1440, 390):
        one = visit(base, "light", width)
        one.go(address.feature(MODEL, "airport_load", window="hour"))
        one.page.locator("#main .range-box button").first.click()
        one.page.get_by_role("button", name="28 days").click()
        one.until(lambda one=one: asked(one).get("from") == "-28d", "the link says 28 days")
        one.settle()
        assert "to" not in asked(one)
        one.until(lambda one=one: "28 days" in one.text(".range-box"), "the range is named")
        assert one.faults(axe=False) == []


def test_letters_typed_before_the_search_is_there_are_not_lost(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    base, _ = demo_site
    one = visit(base)
    one.go(address.feature(MODEL, "airport_load"))
    for _ in range(2):  # the second time the field still holds the first text
        one.page.keyboard.type("/temp")
        one.until(
            lambda: one.page.locator("#search-text").input_value() == "temp", "all of it is there"
        )
        one.until(lambda: "temp" in one.text("#search-results"), "temp is found")
        one.page.keyboard.press("Escape")
        one.until(lambda: not one.page.locator("#search-text:visible").count(), "closed")
        one.settle()
    assert one.seen.faults() == []
