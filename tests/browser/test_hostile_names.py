"""Names that try to be more than text, on every page: shown literally, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from addresses import every_page, missing_pages
from harness import Visit
from hostile import EVIL, MARKUP, hostile_names
from sqlalchemy.engine import Engine

from dashboard import address
from monitor.storage import schema as t

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
# What only a text that became markup would bring into the page.
PLANTED = """(() => {
  const found = [];
  for (const e of document.querySelectorAll('[href], [src], [action], [xlink\\\\:href]')) {
    for (const name of ['href', 'src', 'action', 'xlink:href']) {
      const said = e.getAttribute(name);
      if (said == null) continue;
      let url;
      try { url = new URL(said, location.href); } catch (error) { continue; }
      const isOurs = url.origin === location.origin || said.startsWith('data:image/') ||
        said.startsWith('#') || url.protocol === 'blob:' ||
        said.startsWith('https://train.example/runs/');  // the run of a training, at its trainer
      if (!isOurs) found.push(e.tagName + ' ' + name + '=' + said.slice(0, 80));
    }
  }
  for (const e of document.querySelectorAll('iframe, base, body meta, svg a, main img'))
    found.push(e.tagName + ' ' + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll('*'))
    for (const a of e.attributes)
      if (/^on/i.test(a.name)) found.push(e.tagName + ' ' + a.name);
  for (const e of document.querySelectorAll('main b, main svg b'))
    if (e.textContent === 'bold') found.push('bold ' + e.outerHTML);
  for (const e of document.querySelectorAll('body style'))
    if (e.textContent === '*{display:none}') found.push('style');
  return found;
})()"""


def planted(one: Visit, base: str) -> list[str]:
    """What has become of texts on the page that is shown, but text."""
    found = [f"{one.path}: planted {line}" for line in one.page.evaluate(PLANTED)]
    if len(one.page.frames) > 1:
        found.append(f"{one.path}: a frame")
    if not one.page.url.startswith(base):
        found.append(f"left for {one.page.url}")
    if EVIL in one.page.title() and "click" not in one.page.title():
        found.append(f"title {one.page.title()!r}")
    return found


def problems(one: Visit, base: str) -> list[str]:
    """Everything that is wrong with the page that is shown."""
    return one.faults(axe=False) + planted(one, base)


@pytest.mark.parametrize("width", [1440, 390])
def test_no_name_becomes_more_than_text_on_any_page(
    visit: Visitor, hostile_site: tuple[str, Engine], width: int
) -> None:
    base, engine = hostile_site
    names = hostile_names()
    faults: list[str] = []
    one = visit(base, "light", width)
    for name, path in (every_page(engine, names) | missing_pages(names)).items():
        faults += one.look(path, f"hostile-{name}", axe=False) + planted(one, base)
    assert faults == []


def test_every_feature_has_its_page(visit: Visitor, hostile_site: tuple[str, Engine]) -> None:
    base, engine = hostile_site
    names = hostile_names()
    with engine.connect() as conn:
        features = list(conn.execute(sa.select(t.finding.c.feature).distinct()).scalars())
    faults: list[str] = []
    one = visit(base)
    for feature in features:
        one.go(address.feature(names.model, feature))
        if "There is no" in one.text():
            faults.append(f"{feature!r} has no page: {one.heading()[:120]}")
        faults += problems(one, base)
        one.seen.forget()
    assert faults == []


def test_every_kind_of_dead_letter_can_be_opened(
    visit: Visitor, hostile_site: tuple[str, Engine]
) -> None:
    base, engine = hostile_site
    c = t.dead_letter.c
    with engine.connect() as conn:
        rows = conn.execute(sa.select(c.stream_id, c.partition, c.offset, c.line)).all()
    faults: list[str] = []
    one = visit(base)
    for row in rows[::3]:
        one.go(address.to("pipeline", letter=".".join(map(str, row))))
        faults += problems(one, base)
        one.seen.forget()
    assert faults == []


def test_hovering_shows_a_name_literally(visit: Visitor, hostile_site: tuple[str, Engine]) -> None:
    base, engine = hostile_site
    names = hostile_names()
    one = visit(base)
    for path in (
        every_page(engine, names)["feature-category"],
        every_page(engine, names)["feature-numeric"],
        every_page(engine, names)["model"],
    ):
        one.go(path)
        for graph in one.page.locator("#main .dash-graph:visible").all():
            graph.scroll_into_view_if_needed()
            box = graph.bounding_box()
            assert box is not None
            for share in (0.2, 0.5, 0.8):
                one.page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
                one.page.wait_for_timeout(60)
            assert one.page.locator(".hoverlayer a, .hoverlayer image").count() == 0
        assert problems(one, base) == []


def test_clicking_about_leads_nowhere_else(
    visit: Visitor, hostile_site: tuple[str, Engine]
) -> None:
    base, _ = hostile_site
    names = hostile_names()
    one = visit(base)
    one.go("/")
    link = one.page.locator(f'#models a[href="{address.model(names.model)}"]').first
    assert MARKUP[0] in str(link.inner_text())
    link.click()
    one.settle(heading=MARKUP[0])
    assert one.path == address.model(names.model)
    one.page.go_back()
    one.settle()
    assert one.path == "/"
    assert problems(one, base) == []
