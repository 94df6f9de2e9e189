"""The page in Debian's Chromium: it is complete, calm, aligned, safe, and alive."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy.engine import Engine

from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.storage import engine as storage
from monitor.storage import schema as t
from tests.seed_database import NOW_MS, seed, seed_hostile, start_ms

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Where pictures are kept when somebody wants to look at them.
PICTURES = os.environ.get("DRIFTLINE_PICTURES")
SIZES = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


@dataclass
class Seen:
    """What a page did that it should not."""

    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def nothing(self) -> bool:
        return not (self.console or self.failed or self.foreign)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def serving(engine: Engine) -> Iterator[str]:
    config = uvicorn.Config(
        create_app(engine, clock=HeldClock(NOW_MS)), host="127.0.0.1", port=0, log_level="warning"
    )
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()


def database(folder: Path, fill: Callable[[Engine], None] | None) -> Engine:
    engine = storage.create(f"sqlite:///{folder / 'page.db'}")
    storage.upgrade(engine)
    if fill is not None:
        fill(engine)
    return engine


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = database(tmp_path_factory.mktemp("seeded"), seed)
    with serving(engine) as url:
        yield url
    engine.dispose()


@contextmanager
def opened(browser: Browser, url: str, scheme: str, width: int) -> Iterator[tuple[Page, Seen]]:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=1 if width > 500 else 2,
    )
    context.set_default_timeout(20_000)
    page, seen = context.new_page(), Seen()
    page.on(
        "console",
        lambda m: seen.console.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.on("requestfailed", lambda r: seen.failed.append(r.url))
    page.on("response", lambda r: seen.failed.append(r.url) if r.status >= 400 else None)
    page.on("request", lambda r: None if r.url.startswith(url) else seen.foreign.append(r.url))
    page.goto(url)
    yield page, seen
    context.close()


def wait_for_charts(page: Page) -> None:
    page.wait_for_selector("#heat .heatmaplayer image", state="attached")
    page.wait_for_selector("#bars .barlayer .point path", state="attached")
    page.wait_for_selector("#pipeline table")
    page.evaluate("document.fonts.ready")


def keep_picture(page: Page, name: str, folder: Path) -> Path:
    kept = Path(PICTURES) if PICTURES else folder
    kept.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=kept / f"{name}.png", full_page=True)
    return kept / f"{name}.png"


@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_the_page_is_whole_in_both_schemes_and_sizes(
    browser: Browser, seeded: str, scheme: str, width: int, tmp_path: Path
) -> None:
    with opened(browser, seeded, scheme, width) as (page, seen):
        wait_for_charts(page)
        assert page.locator("h1:visible").all_inner_texts() == ["flight-delay"]
        assert "2 of 16 features moved" in page.locator("#verdict").inner_text().replace(
            "\xa0", " "
        )
        assert page.locator("#freshness").inner_text().startswith("Live")
        assert page.locator(".incident:not(.head)").count() == 9
        assert page.locator(".row-values, #row-labels .row").count() == 18
        assert "Time in the future" in page.locator("#dead").inner_text()
        # Figures follow the scheme: the darkest heat class differs.
        scale = page.evaluate("document.querySelector('#heat .js-plotly-plot').data[0].colorscale")
        assert scale[-1][1] == ("#FEE838" if scheme == "dark" else "#00224E")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture = keep_picture(page, f"page-{scheme}-{width}", tmp_path)
        assert picture.stat().st_size > 50_000
        assert seen.nothing(), seen


def test_labels_bars_and_squares_share_their_rows_and_their_axis(
    browser: Browser, seeded: str
) -> None:
    with opened(browser, seeded, "light", 1440) as (page, _):
        wait_for_charts(page)
        rows = page.evaluate(
            """() => {
              const plot = document.querySelector('#heat .js-plotly-plot');
              const axis = plot._fullLayout.yaxis, top = plot.getBoundingClientRect().top;
              return [...document.querySelectorAll('#row-labels .row')].map((label, n) => {
                const box = label.getBoundingClientRect();
                return Math.abs(box.top + box.height / 2 - (top + axis._offset + axis.l2p(n)));
              });
            }"""
        )
        assert len(rows) == 18
        assert max(rows) <= 1
        edges = page.evaluate(
            """() => ['#heat .js-plotly-plot', '#bars .js-plotly-plot', '#incident-lane'].map(s => {
              const box = document.querySelector(s).getBoundingClientRect();
              return [box.left, box.right];
            })"""
        )
        for edge in edges[1:]:
            assert edge == pytest.approx(edges[0], abs=1)


def test_many_models_scroll_in_their_own_row_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    engine = database(tmp_path, seed)
    with storage.transaction(engine) as conn:
        for n in range(30):
            same = {"id": 100 + n, "created_ms": NOW_MS}
            name = f"a-model-with-a-long-name-{n:02}"
            conn.execute(sa.insert(t.model).values(**same, name=name, timezone="UTC"))
            conn.execute(sa.insert(t.model_version).values(**same, model_id=100 + n, name="1"))
    with serving(engine) as url, opened(browser, url, "light", 390) as (page, seen):
        wait_for_charts(page)
        keep_picture(page, "page-many-models-390", tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        chips = page.locator("#models")
        assert chips.evaluate("e => e.clientWidth") <= 390
        assert chips.evaluate("e => e.scrollWidth") > 2_000
        page.evaluate("window.scrollTo(500, 0)")
        assert page.evaluate("window.scrollX") == 0
        assert seen.nothing(), seen
    engine.dispose()


def test_hostile_names_are_shown_and_never_become_markup(browser: Browser, tmp_path: Path) -> None:
    engine = database(tmp_path, seed_hostile)
    with serving(engine) as url:
        for width in (1440, 390):
            with opened(browser, url, "light", width) as (page, seen):
                wait_for_charts(page)
                assert page.locator("h1:visible").inner_text() == (
                    '<a href="https://evil.example">click</a>'
                )
                assert page.locator("a:not(.nav-model)[href*=evil], svg a").count() == 0
                assert page.locator("main img[src=x], main b b").count() == 0
                page.evaluate("document.querySelector('#heat').scrollIntoView({block: 'center'})")
                box = page.locator("#heat .nsewdrag").bounding_box()
                assert box is not None
                label = page.locator("#heat .hoverlayer text")
                for step in range(40):  # the plot may still be settling
                    page.mouse.move(box["x"] + box["width"] / 2 + step % 2, box["y"] + 30)
                    if label.count():
                        break
                    page.wait_for_timeout(100)
                assert "<a href" in str(label.first.text_content())
                assert page.locator("#heat .hoverlayer a").count() == 0
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert seen.nothing(), seen
    engine.dispose()


def test_an_empty_installation_says_what_to_type_and_fills_itself(
    browser: Browser, tmp_path: Path
) -> None:
    engine = database(tmp_path, None)
    with serving(engine) as url, opened(browser, url, "light", 1440) as (page, seen):
        page.wait_for_selector("h1:has-text('Nothing is monitored yet')")
        said = page.locator("#empty").inner_text()
        assert "driftline reference register train.parquet" in said
        assert "driftline demo" in said
        keep_picture(page, "page-empty", tmp_path)
        seed(engine, days=30)
        page.wait_for_selector("h1:has-text('flight-delay')")
        wait_for_charts(page)
        assert page.locator("#empty").is_hidden()
        assert seen.nothing(), seen
    engine.dispose()


def test_new_data_change_the_page_and_a_hidden_tab_asks_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    engine = database(tmp_path, seed)
    with serving(engine) as url, opened(browser, url, "light", 1440) as (page, seen):
        wait_for_charts(page)
        page.evaluate("window.scrollTo(0, 300)")
        with storage.transaction(engine) as conn:
            conn.execute(
                sa.update(t.incident)
                .where(t.incident.c.state == "firing")
                .values(state="resolved", resolved_ms=start_ms(date(2013, 5, 16)))
            )
            conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))
        page.wait_for_selector("#verdict :text('Healthy')")
        assert page.evaluate("window.scrollY") > 200

        asked: list[str] = []
        page.on("request", lambda r: asked.append(r.url))
        hide = "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {}}});"
        tell = "document.dispatchEvent(new Event('visibilitychange'))"
        page.evaluate(hide.format("true") + tell)
        page.wait_for_timeout(500)  # an answer that was on its way
        asked.clear()
        page.wait_for_timeout(4_500)  # two ticks: there is nothing to wait for
        assert asked == []
        with page.expect_request("**/_dash-update-component*"):
            page.evaluate(hide.format("false") + tell)
        assert seen.nothing(), seen
    engine.dispose()


def test_switches_live_in_the_link_and_the_table_says_the_same(
    browser: Browser, seeded: str
) -> None:
    with opened(browser, seeded, "light", 1440) as (page, seen):
        wait_for_charts(page)
        days = page.locator("#bars .barlayer .trace").nth(1).locator(".point")
        page.locator("#range label", has_text="28 days").click()
        page.wait_for_url("**/?range=28")
        # The policy forbids the evaluation that `wait_for_function` needs.
        expect(days).to_have_count(28, timeout=20_000)
        page.reload()
        wait_for_charts(page)
        expect(days).to_have_count(28, timeout=20_000)
        page.locator("#look label", has_text="Table").click()
        page.wait_for_selector("#twin table")
        assert page.locator("#chart").is_hidden()
        assert page.locator("#twin tbody tr").count() == 18
        assert seen.nothing(), seen


def test_a_database_that_is_gone_is_said_and_the_page_stays(
    browser: Browser, tmp_path: Path
) -> None:
    engine = database(tmp_path, seed)
    with serving(engine) as url, opened(browser, url, "light", 1440) as (page, _):
        wait_for_charts(page)
        with storage.transaction(engine) as conn:
            conn.exec_driver_sql('ALTER TABLE "data_version" RENAME TO "elsewhere"')
        page.wait_for_selector("#banner :text('could not be read')")
        assert page.locator("h1:visible").inner_text() == "flight-delay"
        with storage.transaction(engine) as conn:
            conn.exec_driver_sql('ALTER TABLE "elsewhere" RENAME TO "data_version"')
        page.wait_for_selector("#banner .banner", state="detached")
    engine.dispose()
