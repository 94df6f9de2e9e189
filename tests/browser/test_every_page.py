"""Every page in both schemes and four widths: silent, inside its window, and usable by all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from addresses import every_page, missing_pages, one_of_each
from harness import Visit
from hostile import Names
from sqlalchemy.engine import Engine

from monitor.storage import schema as t

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
FULLY = [("light", 1440), ("dark", 390)]
SIZES = [(scheme, width) for width in (1440, 1280, 768, 390) for scheme in ("light", "dark")]


@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_every_page_is_whole(
    visit: Visitor, living_site: tuple[str, Engine], scheme: str, width: int
) -> None:
    base, engine = living_site
    faults: list[str] = []
    one = visit(base, scheme, width)
    # All states of a page in the two looks that differ most, one of each in the others.
    pages = every_page if (scheme, width) in FULLY else one_of_each
    for name, path in pages(engine, Names()).items():
        # Between the widest and the narrowest nothing is there that is in neither.
        faults += one.look(path, name, axe=width in (1440, 390))
    assert faults == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_what_is_not_there_is_said_and_what_is_nearest_is_named(
    visit: Visitor, living_site: tuple[str, Engine], scheme: str, width: int
) -> None:
    base, _ = living_site
    faults: list[str] = []
    one = visit(base, scheme, width)
    for name, path in missing_pages(Names()).items():
        faults += one.look(path, name)
        if name == "no-model":
            assert one.page.locator("#main a", has_text="parcel-delay").count() == 1
        if name == "no-feature":
            assert one.page.locator("#main a", has_text="weight").count() == 1
    assert faults == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390)])
def test_an_empty_installation_is_whole(
    visit: Visitor, empty_site: tuple[str, Engine], scheme: str, width: int
) -> None:
    base, _ = empty_site
    faults: list[str] = []
    one = visit(base, scheme, width)
    for name, path in {
        "empty": "/",
        "empty-incidents": "/incidents",
        "empty-pipeline": "/pipeline",
        "empty-references": "/references",
    }.items():
        faults += one.look(path, name)
    assert faults == []


def test_every_page_fits_into_320_pixels(visit: Visitor, living_site: tuple[str, Engine]) -> None:
    base, engine = living_site
    faults: list[str] = []
    one = visit(base, "light", 320)
    for name, path in one_of_each(engine, Names()).items():
        faults += one.look(path, name, axe=False)
    assert faults == []


@pytest.mark.parametrize("width", [1280, 1100])
def test_no_column_of_an_incident_s_evidence_is_cut(
    visit: Visitor, living_site: tuple[str, Engine], width: int
) -> None:
    base, engine = living_site
    one = visit(base, "light", width)
    cut, seen = "(t => t.parentElement.scrollWidth - t.parentElement.clientWidth)", 0
    with engine.connect() as conn:
        numbers = list(conn.execute(sa.select(t.incident.c.number)).scalars())
    for number in numbers:
        one.go(f"/incidents/{number}")
        one.settle()
        found = one.page.eval_on_selector_all("table.evidence", f"ts => ts.map({cut})")
        assert all(left <= 0 for left in found), (number, found)
        seen += len(found)
    assert seen > 0


def test_the_scheme_changes_without_a_reload_and_figures_follow(
    visit: Visitor, living_site: tuple[str, Engine]
) -> None:
    base, engine = living_site
    one = visit(base)
    one.go(every_page(engine, Names())["model"])
    colours = "JSON.stringify([...document.querySelectorAll('.js-plotly-plot')].map(p => p.data))"
    light = one.page.evaluate(colours)
    one.page.evaluate("window.stayed = true")
    one.page.get_by_role("button", name="Light or dark").click()
    one.until(
        lambda: one.page.evaluate(
            "document.documentElement.getAttribute('data-mantine-color-scheme') === 'dark'"
        ),
        "the dark scheme",
    )
    one.until(lambda: one.page.evaluate(colours) != light, "figures in dark")
    one.settle()
    one.scheme = "dark"
    assert one.page.evaluate("window.stayed")
    assert one.faults() == []
    one.page.reload()
    one.settle()
    scheme = "document.documentElement.getAttribute('data-mantine-color-scheme')"
    assert one.page.evaluate(scheme) == "dark"


def test_what_a_page_must_not_do_is_noticed(visit: Visitor, empty_site: tuple[str, Engine]) -> None:
    """The negative control of this folder: each fault is planted, and each is found."""
    base, _ = empty_site
    one = visit(base)
    one.go("/")
    assert one.faults() == []
    one.page.evaluate(
        """() => {
          console.error('planted');
          const e = document.createElement('div');
          e.innerHTML = '<p style="color:#ccc;background:#fff">pale</p><h1>second</h1>' +
            '<img src="https://elsewhere.example/x.png" alt="">' +
            '<img src="x" alt="" onerror="window.driftlineCanary=1">' +
            '<div style="width:3000px;height:1px;background:#000"></div>';
          document.querySelector('#main').append(e);
          window.driftlineCanary = 1;
        }"""
    )
    one.page.wait_for_timeout(300)
    found = " ".join(one.faults())
    for sign in ("planted", "color-contrast", "2 visible h1", "elsewhere.example", "sideways",
                 "POLICY", "CANARY"):  # fmt: skip
        assert sign in found, found
