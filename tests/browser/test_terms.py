"""A word with an explanation: by key, by mouse and by touch, and never in the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from addresses import one_of_each
from harness import Visit
from hostile import Names
from sqlalchemy.engine import Engine

from dashboard.glossary import TERMS

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
WOBBLE = TERMS["natural wobble"]


def opened(
    visit: Visitor, site: tuple[str, Engine], scheme: str = "light", width: int = 1440
) -> Visit:
    base, engine = site
    one = visit(base, scheme, width)
    one.go(one_of_each(engine, Names())["reference"])
    return one


def test_a_word_is_explained_by_the_keyboard_alone(
    visit: Visitor, living_site: tuple[str, Engine]
) -> None:
    one = opened(visit, living_site)
    word = one.page.get_by_role("button", name="Natural wobble")
    card = one.page.locator("#term-card")
    word.focus()
    assert card.count() == 0 or card.is_hidden()
    one.page.keyboard.press("Enter")
    assert card.inner_text() == WOBBLE
    assert word.get_attribute("aria-expanded") == "true"
    described = word.get_attribute("aria-describedby")
    assert described == card.get_attribute("id")
    # Who cannot see it hears it.
    assert one.page.locator("#said").inner_text() == WOBBLE
    assert one.faults() == []
    one.page.keyboard.press("Escape")
    assert card.is_hidden()
    assert one.page.evaluate("document.activeElement.textContent") == "Natural wobble"
    one.page.keyboard.press("Enter")
    one.page.keyboard.press("Tab")
    assert card.is_hidden()


def test_a_mouse_that_rests_on_a_word_may_go_on_to_its_card(
    visit: Visitor, living_site: tuple[str, Engine]
) -> None:
    one = opened(visit, living_site)
    card = one.page.locator("#term-card")
    one.page.get_by_role("button", name="Natural wobble").hover()
    one.until(lambda: card.is_visible(), "the card")
    card.hover()
    one.page.wait_for_timeout(400)
    assert card.is_visible()
    one.page.mouse.move(5, 5)
    one.until(lambda: card.is_hidden(), "the card goes with the mouse")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_finger_opens_and_closes_it_within_the_window(
    visit: Visitor, living_site: tuple[str, Engine], scheme: str
) -> None:
    one = opened(visit, living_site, scheme, 390)
    word = one.page.locator("button.term:visible").first
    word.scroll_into_view_if_needed()
    word.tap()
    card = one.page.locator("#term-card")
    assert card.is_visible()
    box = card.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    one.picture("term")
    assert one.faults() == []
    word.tap()
    assert card.is_hidden()
