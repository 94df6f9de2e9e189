"""Logging in and out as a person does: the page itself, a wrong token, the way back, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import LAYOUT, Visit, serving
from living_database import NOW_MS
from playwright.sync_api import Browser

from monitor.storage import engine as storage

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
TOKEN = "a-token-of-more-than-20-characters"


@pytest.fixture(scope="module")
def site(living_file: Path) -> Iterator[str]:
    """The living database, served to whoever has the token."""
    engine = storage.create(f"sqlite:///{living_file}")
    with serving(engine, now_ms=NOW_MS, token=TOKEN) as url:
        yield url
    engine.dispose()


def log_in(page: Any, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]
)
def test_the_page_is_whole_at_first_and_after_a_wrong_token(
    visit: Visitor, site: str, scheme: str, width: int
) -> None:
    one = visit(site, scheme, width)
    for name, token in (("login", ""), ("login-wrong", "not the token")):
        if token:
            log_in(one.page, token)
            one.page.get_by_role("alert").wait_for()
            # The answer that says so is no fault of the page.
            one.seen.forget()
        else:
            one.page.goto(site)
        one.until(lambda: one.page.evaluate("document.fonts.status === 'loaded'"), "fonts")
        one.picture(name)
        assert one.axe() == []
        assert one.page.evaluate(LAYOUT) == []
        assert one.seen.faults() == []
        field = one.page.get_by_label("Token")
        assert field.get_attribute("autocomplete") == "current-password"
        assert field.evaluate("e => document.activeElement === e")
        assert field.input_value() == ""
    assert field.get_attribute("aria-invalid") == "true"
    background = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(246, 247, 249)", "dark": "rgb(13, 16, 21)"}[scheme]


def test_it_works_without_a_script_and_follows_the_systems_scheme(
    browser: Browser, site: str
) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{site}/models")
    log_in(page, "wrong")
    assert page.get_by_role("alert").inner_text() == "This is not the token."
    log_in(page, TOKEN)
    assert page.url == f"{site}/models"
    context.close()


def test_a_link_leads_through_the_login_to_its_page_and_the_button_out_again(
    visit: Visitor, site: str
) -> None:
    one = visit(site)
    one.page.goto(f"{site}/models/taxi-out?range=7d")
    assert one.path.startswith("/login?next=/models/taxi-out")
    log_in(one.page, TOKEN)
    one.settle(heading="taxi-out")
    assert one.path.startswith("/models/taxi-out")
    assert one.faults() == []

    # A session that ended meanwhile is said on the page, which stays.
    other = one.context.new_page()
    other.goto(f"{site}/pipeline")
    other.get_by_role("button", name="Log out").click()
    other.get_by_role("status").filter(has_text="You are logged out.").wait_for()
    assert other.url == f"{site}/login?out"
    gone = one.page.locator("#gone")
    one.until(lambda: "You are logged out." in gone.inner_text(), "the page says so")
    assert one.heading() == "taxi-out"
    other.go_back()
    other.wait_for_url("**/login?next=**")
    other.close()

    gone.get_by_role("link", name="Log in").click()
    assert one.path == "/login?next=%2Fmodels%2Ftaxi-out%3Frange%3D7d"
    one.seen.forget()
    log_in(one.page, TOKEN)
    one.settle(heading="taxi-out")
    assert one.faults() == []


def test_a_link_from_another_site_opens_its_page_for_whoever_is_logged_in(
    visit: Visitor, site: str
) -> None:
    one = visit(site)
    one.page.goto(f"{site}/login")
    log_in(one.page, TOKEN)
    one.settle()
    # Another site: what is a chat to the user.
    one.page.goto("about:blank")
    one.page.set_content(f'<a href="{site}/pipeline">look</a>')
    one.page.get_by_role("link", name="look").click()
    one.settle()
    assert one.path == "/pipeline"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_the_button_stands_in_the_bar_and_the_page_stays_whole(
    visit: Visitor, site: str, scheme: str, width: int
) -> None:
    one = visit(site, scheme, width)
    one.page.goto(f"{site}/login")
    log_in(one.page, TOKEN)
    one.settle()
    assert one.look("/", "logged-in") == []
    button = one.page.get_by_role("button", name="Log out")
    assert button.is_visible()
    button.focus()
    one.page.keyboard.press("Enter")
    one.page.get_by_role("status").filter(has_text="You are logged out.").wait_for()
