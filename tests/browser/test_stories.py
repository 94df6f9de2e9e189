"""What people come for, on the demo's year: from an alarm to its cause, by mouse and by keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from demo_year import Demo
from harness import Visit
from sqlalchemy.engine import Engine

from dashboard import address

pytestmark = [pytest.mark.browser, pytest.mark.demo]

Visitor = Callable[..., Visit]
MODEL = "flight-delay"


def told(demo: Demo, feature: str, kind: str) -> dict[str, Any]:
    """The year's last incident of a feature over all rows."""
    found: dict[str, Any] = [
        one
        for one in demo.told["incidents"]
        if (one["feature"], one["kind"], one["segment"]) == (feature, kind, "all")
    ][-1]
    return found


def test_on_call_from_the_overview_to_the_evidence(
    visit: Visitor, demo_site: tuple[str, Engine], demo: Demo
) -> None:
    """It is night; something fires. What is it, since when, and is it real?"""
    base, _ = demo_site
    one = visit(base)
    one.go("/")
    assert one.heading() == "Your model needs you now"
    one.page.locator('#nav a[href="/incidents"]').first.click()
    one.settle()
    dead = told(demo, "temp", "missing")
    assert "temp" in one.text()
    one.go(address.incident(dead["id"]))
    one.picture("story-incident")
    said = one.text()
    assert "temp" in said
    assert "missing" in said
    link = one.page.locator(f'#main a[href*="/models/{MODEL}/features/temp"]:visible').first
    link.click()
    one.until(lambda: "/features/temp" in one.page.url, "the feature's page")
    one.settle()
    one.picture("story-evidence")
    assert "temp" in one.heading()
    assert "missing" in one.text()
    assert one.faults() == []


def test_every_incident_of_the_year_has_a_page_that_leads_to_its_feature(
    visit: Visitor, demo_site: tuple[str, Engine], demo: Demo
) -> None:
    base, _ = demo_site
    one = visit(base)
    wrong: list[str] = []
    for incident in demo.told["incidents"][::4]:
        one.go(address.incident(incident["id"]))
        feature = address.feature(MODEL, incident["feature"])
        if not one.page.locator(f'#main a[href^="{feature}"]').count():
            wrong.append(f"{one.path}: no link to {feature}")
        wrong += one.faults(axe=False)
        one.seen.forget()
    assert wrong == []


def test_a_data_scientist_finds_the_group_that_moved_with_the_mouse(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    """The heatmap is dark in July: a click on a cell, and the groups that moved are named."""
    base, _ = demo_site
    one = visit(base)
    one.go(address.model(MODEL, from_="2013-06-15", to="2013-08-15"))
    one.picture("story-heatmap")
    one.page.mouse.move(*cell(one, "airport_load", "2013-07-04"))
    one.until(lambda: one.page.locator(".hoverlayer text").count(), "the square says what it is")
    one.page.mouse.down()
    one.page.mouse.up()
    one.until(lambda: "/features/airport_load" in one.page.url, "the feature of the cell")
    one.settle()
    assert "at=2013-07-0" in one.page.url
    said = one.text()
    assert "above 29" in said  # the group that emptied
    before = one.page.url
    one.page.keyboard.press("Escape")
    one.page.locator("h1").first.click()
    one.page.keyboard.press("ArrowRight")
    one.until(lambda: one.page.url != before, "the next window is in the link")
    one.settle()
    assert "at=2013-07-05" in one.page.url
    one.picture("story-group")
    assert one.faults() == []


def cell(one: Visit, feature: str, day: str) -> tuple[float, float]:
    """The middle of a heatmap's cell on the screen."""
    found = one.page.evaluate(
        """([feature, day]) => {
          const plot = [...document.querySelectorAll('.js-plotly-plot')]
            .find(p => p._fullData.some(t => t.type === 'heatmap'));
          plot.scrollIntoView({block: 'center'});
          const label = [...document.querySelectorAll('#main a[href*="/features/"]')]
            .find(a => a.textContent.trim() === feature && a.getClientRects().length);
          const row = label.getBoundingClientRect();
          const box = plot.getBoundingClientRect();
          const axis = plot._fullLayout.xaxis;
          const x = axis.d2p(day + ' 12:00') + axis._offset + box.left;
          return [x, row.top + row.height / 2];
        }""",
        [feature, day],
    )
    return found[0], found[1]


def test_rows_labels_and_axes_of_the_model_page_line_up(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    base, _ = demo_site
    one = visit(base)
    one.go(address.model(MODEL))
    edges = one.page.evaluate(
        """[...document.querySelectorAll('#main .js-plotly-plot')]
          .filter(p => p.getClientRects().length && p._fullLayout.xaxis.type === 'date')
          .map(p => { const a = p._fullLayout.xaxis, b = p.getBoundingClientRect();
                      return [b.left + a._offset, b.left + a._offset + a._length]; })"""
    )
    assert len(edges) >= 2
    for edge in edges[1:]:
        assert edge == pytest.approx(edges[0], abs=1)


def test_from_the_overview_to_the_moved_group_with_the_keyboard_only(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    base, _ = demo_site
    one = visit(base)
    one.go("/")
    keys = one.page.keyboard
    keys.press("g")
    keys.press("i")
    one.until(lambda: one.path.startswith("/incidents"), "g i goes to the incidents")
    one.settle()
    keys.press("g")
    keys.press("o")
    one.until(lambda: one.path == "/", "g o goes to the overview")
    one.settle()
    keys.press("/")
    one.until(lambda: focused(one, "search-text"), "/ opens the search")
    keys.type("airport_load")
    one.until(lambda: "airport_load" in one.text("#search-results"), "it is found")
    one.settle()
    keys.press("ArrowDown")
    keys.press("Enter")
    one.until(lambda: "/features/airport_load" in one.page.url, "Enter opens it")
    one.until(
        lambda: not one.page.locator(".mantine-Modal-content").count(), "the search has closed"
    )
    one.settle()
    before = one.page.url
    keys.press("ArrowLeft")
    one.until(lambda: one.page.url != before, "the window before")
    one.settle()
    assert "at=" in one.page.url
    assert one.faults() == []


def test_tab_reaches_everything_and_the_focus_is_seen(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    base, _ = demo_site
    one = visit(base)
    one.go(address.model(MODEL))
    one.page.keyboard.press("Tab")
    assert one.page.evaluate("document.activeElement.textContent") == "Skip to the page"
    seen: set[str] = set()
    for _ in range(60):
        one.page.keyboard.press("Tab")
        said = one.page.evaluate(
            """(() => { const e = document.activeElement, s = getComputedStyle(e);
              const box = e.getBoundingClientRect();
              const ring = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 ||
                s.boxShadow !== 'none' || e.closest('.mantine-SegmentedControl-root, .switch');
              return [e.outerHTML.slice(0, 120), Boolean(ring), box.width > 0]; })()"""
        )
        seen.add(said[0])
        assert said[1], f"no focus ring: {said[0]}"
    assert len(seen) > 25


def focused(one: Visit, name: str) -> bool:
    """Whether a component has the focus."""
    return bool(one.page.evaluate(f"document.activeElement.id === '{name}'"))


def test_the_verdicts_numbers_are_the_apis(
    visit: Visitor, demo_site: tuple[str, Engine], demo: Demo
) -> None:
    base, _ = demo_site
    one = visit(base)
    one.go("/incidents")
    count = one.text("#firing")
    assert one.heading() == f"{count} are firing, none has an owner"
    groups = one.page.request.get(f"{base}/api/v1/incident-groups?state=firing").json()
    assert str(len(groups["items"])) == count
    answer = one.page.request.get(f"{base}/api/v1/incidents/{told(demo, 'temp', 'missing')['id']}")
    assert answer.ok
    summary = str(answer.json()["summary"]).split(",")[0].replace("\u00a0", " ")
    one.go(address.incident(told(demo, "temp", "missing")["id"]))
    assert summary.split(": ", 1)[1][:20] in one.text()
