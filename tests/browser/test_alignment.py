"""The model page's chart: names, squares and values of a row stand level, time has one axis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Visit
from sqlalchemy.engine import Engine

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
MODEL = "/models/flight-delay"
# The middles of the rows of a list, and of the heatmap's rows, in pixels of the window.
LISTED = """id => [...document.querySelectorAll('#' + id + ' .row')].map(row => {
  const box = row.getBoundingClientRect();
  return (box.top + box.bottom) / 2;
})"""
SQUARES = """() => {
  const plot = document.querySelector('#model-heat .js-plotly-plot');
  const axis = plot._fullLayout.yaxis, top = plot.getBoundingClientRect().top;
  return plot._fullData.find(t => t.type === 'heatmap').z.map(
    (_, row) => top + plot._fullLayout._size.t + axis.d2p(row));
}"""
# Left and right edge of what has a time axis.
EDGES = """() => Object.fromEntries(['model-bars', 'model-heat'].map(id => {
  const plot = document.querySelector('#' + id + ' .js-plotly-plot'), size = plot._fullLayout._size;
  const left = plot.getBoundingClientRect().left + size.l;
  return [id, [left, left + size.w]];
}).concat(['model-versions', 'model-lane', 'model-walk'].map(id => {
  const box = document.getElementById(id).getBoundingClientRect();
  return [id, [box.left, box.right]];
})))"""


@pytest.mark.parametrize("width", [1440, 900])
def test_rows_and_time_line_up_within_a_pixel(
    visit: Visitor, demo_site: tuple[str, Engine], width: int
) -> None:
    one = visit(demo_site[0], "light", width)
    one.go(f"{MODEL}?from=2013-05-01&to=2013-09-01")
    squares = one.page.evaluate(SQUARES)
    assert len(squares) > 5
    assert one.page.evaluate(LISTED, "model-labels") == pytest.approx(squares, abs=1)
    assert one.page.evaluate(LISTED, "model-values") == pytest.approx(squares, abs=1)
    edges = one.page.evaluate(EDGES)
    assert len(edges) == 5
    for name, found in edges.items():
        assert found == pytest.approx(edges["model-heat"], abs=1), (name, edges)


def test_a_name_keeps_its_focus_when_rows_are_drawn_anew(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    one = visit(demo_site[0])
    one.go(f"{MODEL}?from=2013-05-01&to=2013-09-01")
    link = one.page.locator("#model-labels a.name", has_text="temp").first
    link.focus()
    before = one.page.locator("#model-values").inner_text()
    one.page.evaluate("driftline.write({sort: 'name'})")
    one.until(
        lambda: (
            one.page.locator("#model-labels a.name").first.inner_text() != "prediction"
            or one.page.locator("#model-values").inner_text() != before
        ),
        "rows are in another order",
    )
    one.settle()
    assert one.page.evaluate("document.activeElement.textContent") == "temp"


def test_a_name_opens_its_feature_without_loading_the_page(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    one = visit(demo_site[0])
    one.go(MODEL)
    one.page.evaluate("window.stayed = true")
    one.page.locator("#model-labels a.name", has_text="temp").first.click()
    one.page.wait_for_url("**/features/temp**")
    one.settle()
    assert one.page.evaluate("window.stayed")
    assert "temp" in one.page.locator("h1:visible").inner_text()


def test_a_chart_that_has_not_measured_its_place_widens_no_page(
    visit: Visitor, demo_site: tuple[str, Engine]
) -> None:
    """Plotly draws 700 px first; on a busy phone that is there long enough to be seen."""
    one = visit(demo_site[0], "light", 390)
    one.go(MODEL)
    one.page.evaluate(
        "document.querySelectorAll('#model-heat .svg-container, #model-heat .main-svg').forEach("
        "part => { part.style.width = '700px'; part.setAttribute('width', 700); })"
    )
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390
