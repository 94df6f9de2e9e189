"""An incident is acknowledged, judged and silenced on its page, and errors are said there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from harness import Visit, serving
from living_database import NOW_MS
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage
from monitor.storage import reads, retrain_rows, silences
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
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


def test_a_message_that_was_given_up_is_sent_again_from_the_incident_s_page(
    visit: Visitor, site: tuple[str, Engine]
) -> None:
    base, engine = site
    one = visit(base)
    one.go("/incidents/1")
    assert "Given up" in one.text(".attempts") or "old-hook" in one.text(".attempts")
    one.page.locator(".attempts summary").click()
    assert "it answered 410 Gone" in one.text(".attempts table")
    button = one.page.locator("[data-do=redeliver]")
    assert button.inner_text() == "Redeliver ..."
    button.focus()
    one.page.keyboard.press("Enter")
    one.until(lambda: one.page.locator("dialog h2").count(), "the dialog")
    assert one.text("dialog h2") == "Redeliver to old-hook"
    assert one.faults() == []  # the open dialog, by axe
    one.page.keyboard.press("Enter")  # its button has the focus: there is nothing to fill in
    one.until(lambda: one.page.locator("dialog").count() == 0, "the dialog is closed")
    one.until(lambda: "Endpoint is off" in one.text("#incident-sent"), "that it waits")
    with reading(engine) as conn:
        assert reads.deliveries(conn, delivery_id=4)[0].state == "pending"
    # Another message of the same incident, by its link: the attempts are its own.
    one.page.get_by_role("link", name="pager").click()
    one.until(lambda: "timeout after 15 s" in one.text(".attempts"), "the other strip")
    assert one.path == "/incidents/1?delivery=2"
    assert one.faults() == []


@pytest.mark.parametrize("width", [1440, 390])
def test_several_are_acknowledged_at_once_and_each_says_what_became_of_it(
    visit: Visitor, site: tuple[str, Engine], width: int
) -> None:
    base, engine = site
    one = visit(base, width=width)
    one.go("/incidents")
    one.page.locator("[data-do=acknowledge-many]").click()
    assert "Select incidents first" in one.text("#incidents-selected")
    assert one.page.locator("dialog").count() == 0
    if width > 1000:
        # By keys: the row's cell has the focus, Space selects it.
        one.page.locator(".ag-row[row-id='8'] [col-id=model]").focus()
        one.page.keyboard.press("Space")
        one.until(lambda: one.text("#incidents-selected") == "1 selected", "one row")
        one.page.locator(".ag-row[row-id='6'] input[type=checkbox]").click()
    else:
        for number in (8, 6):
            box = one.page.get_by_role("checkbox", name=f"Select #{number}")
            box.click()
            assert box.get_attribute("aria-checked") == "true"
    one.until(lambda: one.text("#incidents-selected") == "2 selected", "two rows")
    assert one.path == "/incidents"  # choosing opens nothing
    one.page.locator("[data-do=acknowledge-many]").click()
    assert one.text("dialog h2") == "Acknowledge 2 incidents"
    assert one.faults() == []  # the open dialog, by axe
    # One of them ends while the dialog stands open: that one is said to have failed, and why.
    with transaction(engine) as conn:
        conn.execute(
            sa.update(t.incident)
            .where(t.incident.c.number.in_([6, 7, 14]))
            .values(state="resolved", resolved_ms=NOW_MS)
        )
    one.page.locator("dialog input[name=by]").fill("M. Keller")
    one.page.locator("dialog button[type=submit]").click()
    one.until(lambda: one.page.locator("dialog .batch .failed").count() == 1, "the one")
    assert one.text("dialog .batch .done").endswith("done")
    assert "The incident is over" in one.text("dialog .batch .failed")
    assert "1 of 2 could not be done" in one.text("dialog .wrong")
    one.seen.forget()  # the 409 was meant
    one.page.locator("dialog .ends button").first.click()
    one.until(lambda: "M. Keller" in one.text(), "who has it")
    one.until(lambda: one.text("#incidents-selected") == "", "nothing is selected any more")
    assert one.faults() == []


def test_several_are_silenced_at_once_with_what_that_mutes_said_before(
    visit: Visitor, site: tuple[str, Engine]
) -> None:
    base, engine = site
    one = visit(base)
    one.go("/incidents?state=firing")
    one.page.locator(".ag-header input[type=checkbox]").click()
    one.until(lambda: one.text("#incidents-selected") == "2 selected", "all that stand")
    one.page.locator("[data-do=silence-many]").click()
    told = one.page.locator("dialog .preview")
    one.until(lambda: told.inner_text().startswith("Mutes 4 firing incidents now"), "the preview")
    assert one.faults() == []
    one.page.locator("dialog input[name=reason]").fill("the move")
    confirm(one)
    one.until(lambda: one.text("#incidents-grid").count("silenced") == 2, "both are silenced")
    with reading(engine) as conn:
        made = silences.silences(conn)
    assert {(s.matcher.model, s.matcher.feature, s.reason) for s in made} == {
        ("parcel-delay", None, "the move"), ("taxi-out", "reading", "the move"),
    }  # fmt: skip
    assert one.faults() == []


def test_a_retraining_is_asked_for_after_its_message_was_shown(
    visit: Visitor, site: tuple[str, Engine]
) -> None:
    base, engine = site
    one = visit(base)
    one.go("/models/parcel-delay")
    # One is open: the button says why it does nothing, and nothing opens.
    button = one.page.locator(".button[data-why]")
    assert button.get_attribute("title") == "Request 6 is succeeded: one is open at a time"
    button.click(force=True)  # it is aria-disabled
    assert one.page.locator("dialog").count() == 0
    with transaction(engine) as conn:
        conn.execute(sa.update(t.retrain).values(state="failed", ended_ms=NOW_MS))
    one.go("/models/parcel-delay")
    one.page.locator("[data-do=retrain]").focus()
    one.page.keyboard.press("Enter")
    one.until(lambda: "The policy would not ask for it now" in one.text("dialog"), "its word")
    assert "trainer is asked to train a new version" in one.text("dialog")
    assert "10 requests of the last 24 h are left" in one.text("dialog")
    one.page.keyboard.type("new routes since May")
    one.page.keyboard.press("Tab")
    one.page.keyboard.type("M. Keller")
    one.page.locator("dialog summary").click()
    one.until(lambda: "new routes since May" in one.text("dialog .payload"), "the message")
    assert '"model": "parcel-delay"' in one.text("dialog .payload")
    assert one.faults() == []  # the open dialog, by axe
    one.page.locator("dialog button[type=submit]").click()
    one.until(lambda: one.path.startswith("/retrains/"), "its own page")
    one.settle()
    assert "Asked for by M. Keller" in one.text("#retrain-verdict")
    with reading(engine) as conn:
        made = retrain_rows.listed(conn, only_open=True)
    assert [(r.actor, r.origin, r.state) for r in made] == [("M. Keller", "asked", "requested")]
    assert one.faults() == []
