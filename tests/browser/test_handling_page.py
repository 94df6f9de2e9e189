"""An incident is acknowledged, judged and silenced on its page, and errors are said there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Visit, serving
from living_database import NOW_MS
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage
from monitor.storage.engine import reading
from monitor.views.episodes import listed

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]


@pytest.fixture
def site(living_file: Path, tmp_path: Path) -> Iterator[tuple[str, Engine]]:
    """A living database of the test's own: it is written to."""
    target = tmp_path / "living.db"
    shutil.copyfile(living_file, target)
    engine = storage.create(f"sqlite:///{target}")
    with serving(engine, now_ms=NOW_MS) as base:
        yield base, engine
    engine.dispose()


def number(engine: Engine) -> int:
    with reading(engine) as conn:
        return listed(conn, state="firing").groups[0].number


def confirm(one: Visit) -> None:
    one.page.locator("dialog button[type=submit]").click()
    one.until(lambda: one.page.locator("dialog").count() == 0, "the dialog is closed")


def test_by_keys_alone_it_is_acknowledged_then_commented_and_judged(
    visit: Visitor, site: tuple[str, Engine]
) -> None:
    base, engine = site
    one = visit(base)
    one.go(f"/incidents/{number(engine)}")
    one.page.locator("[data-do=acknowledge]").focus()
    one.page.keyboard.press("Enter")
    one.page.keyboard.type("a deploy at noon / g i")  # what would be keys of the page elsewhere
    one.page.keyboard.press("Tab")
    one.page.keyboard.type("M. Keller")
    assert one.faults() == []  # the open dialog, by axe
    one.page.keyboard.press("Enter")
    one.until(lambda: "Acknowledged by M. Keller" in one.text(), "the acknowledgement")
    assert "M. Keller said: a deploy at noon / g i" in one.text()
    one.page.locator("[data-verdict=useful]").click()
    one.until(lambda: "M. Keller found it useful" in one.text(), "the verdict")
    # The name is remembered; Escape gives up.
    one.page.locator("[data-do=comment]").click()
    assert one.page.locator("dialog input[name=by]").input_value() == "M. Keller"
    one.page.keyboard.press("Escape")
    one.until(lambda: one.page.locator("dialog").count() == 0, "the dialog is closed")
    one.page.locator("[data-do=give-back]").click()
    confirm(one)
    one.until(lambda: "M. Keller gave it back" in one.text(), "nobody has it")
    assert one.faults() == []


def test_a_silence_says_what_it_mutes_before_it_is_made_and_is_ended(
    visit: Visitor, site: tuple[str, Engine]
) -> None:
    base, engine = site
    one = visit(base, width=390)
    one.go(f"/incidents/{number(engine)}")
    one.page.locator("[data-do=silence]").click()
    told = one.page.locator("dialog .preview")
    one.until(lambda: told.inner_text().startswith("Mutes 3 firing incidents now"), "the preview")
    one.page.locator("dialog select[name=kind]").select_option("unseen")
    one.until(lambda: told.inner_text().startswith("Mutes 1 firing incident now"), "another one")
    one.page.locator("dialog select[name=kind]").select_option("")
    one.page.locator("dialog input[name=reason]").fill("the move")
    confirm(one)
    one.until(lambda: "Silenced until 16 May 18:40 UTC" in one.text(), "the silence")
    # The same again would change nothing: that is said where it was asked.
    one.page.locator("[data-do=silence]").click()
    one.page.locator("dialog button[type=submit]").click()
    wrong = one.page.locator("dialog .wrong")
    one.until(lambda: "holds all of this back already" in wrong.inner_text(), "why not")
    one.page.locator("dialog .ends button").first.click()
    one.page.locator("[data-do=end-silence]").click()
    one.until(lambda: "Silenced until" not in one.text(), "its end")
