"""The dashboard under test: served in this process, looked at in Debian's Chromium.

A `Visit` is one browser context on one server. It writes down everything that a page must not
do, waits for what it shows with deadlines, and asks axe-core what a reader could not use.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import sqlalchemy as sa
import uvicorn
from playwright.sync_api import Browser, Page, Request
from sqlalchemy.engine import Engine

from monitor.api.app import create_app
from monitor.clock import Clock, HeldClock

log = logging.getLogger(__name__)

# Where pictures are kept when somebody wants to look at them.
PICTURES = os.environ.get("DRIFTLINE_PICTURES")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TIMEOUT_S = 20.0
# A page has settled when it has asked nothing for so long.
QUIET_S = 0.15
ASKS = "/_dash-update-component"
# What the one question names that fills a page.
FILLS = "-seen.data"
# What a hostile text that runs would do; see `tests/hostile.py`.
CANARY = """
(() => {
  const ran = how => console.error('CANARY: a script ran (' + how + ')');
  Object.defineProperty(window, 'driftlineCanary', {set: () => ran('set'), get: () => undefined});
  for (const name of ['alert', 'confirm', 'prompt']) window[name] = () => ran(name);
  document.addEventListener('securitypolicyviolation', event =>
    console.error('POLICY: ' + event.violatedDirective + ' ' + event.blockedURI));
})();
"""


@contextmanager
def serving(
    engine: Engine,
    *,
    now_ms: int | None = None,
    clock: Clock | None = None,
    port: int = 0,
    **settings: Any,
) -> Iterator[str]:
    """Serve a database on this machine; `port` is a free one unless it is given."""
    app = create_app(engine, clock=clock or HeldClock(now_ms or 0), **settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2
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


@contextmanager
def statements(engine: Engine) -> Iterator[Callable[[], list[list[str]]]]:
    """The SQL statements that are executed meanwhile, of each connection's use a list.

    A page is filled in one use; the heartbeat has others, as often as time allows.
    """
    uses: dict[int, tuple[Any, list[str]]] = {}

    def note(conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # The connection is kept, so that no other one gets its number.
        uses.setdefault(id(conn), (conn, []))[1].append(" ".join(statement.split()))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield lambda: [said for _, said in list(uses.values())]
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


@dataclass
class Seen:
    """What a page did that it should not."""

    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """All of it, a line each."""
        return [
            f"{kind}: {text[:300]}"
            for kind in ("console", "failed", "foreign", "left")
            for text in getattr(self, kind)
        ]

    def forget(self) -> None:
        """Begin anew: what was seen so far was meant."""
        for kept in (self.console, self.failed, self.foreign, self.left):
            kept.clear()


class Visit:
    """One browser context with one page on one server."""

    def __init__(self, browser: Browser, base: str, scheme: str = "light", width: int = 1440):
        self.base, self.scheme, self.width = base, scheme, width
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
            has_touch=width < 768,
        )
        self.context.set_default_timeout(TIMEOUT_S * 1_000)
        self.context.add_init_script(CANARY)
        self.page: Page = self.context.new_page()
        self.seen = Seen()
        # What callbacks were asked for, as (outputs, changed inputs).
        self.asked: list[dict[str, Any]] = []
        self._answered: list[Request] = []
        self._open: set[Request] = set()
        self._is_filled = True  # the page that was opened last
        self._place = ""  # its path
        self._quiet_since = time.monotonic()
        self._listen()

    def _listen(self) -> None:
        page, seen = self.page, self.seen
        page.on(
            "console",
            lambda m: seen.console.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: seen.console.append(str(error)))
        page.on("response", lambda r: seen.failed.append(r.url) if r.status >= 400 else None)
        page.on("framenavigated", lambda frame: self._navigated(frame.url))
        page.on("request", self._begun)
        page.on("requestfinished", self._done)
        page.on("requestfailed", self._failed)

    def _navigated(self, url: str) -> None:
        if not url.startswith((self.base, "about:blank", "chrome-error:")):
            self.seen.left.append(url)
        # A link within the dashboard opens a page as an address does: it is to be filled anew.
        if (place := urlsplit(url).path) != self._place:
            self._place, self._is_filled = place, False

    def _begun(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.seen.foreign.append(request.url)
        if ASKS in request.url:
            self._open.add(request)
            body = request.post_data_json or {}
            self.asked.append(
                {
                    "output": body.get("output", ""),
                    "changed": body.get("changedPropIds", []),
                    "inputs": body.get("inputs", []),
                }
            )

    def _done(self, request: Request) -> None:
        self._open.discard(request)
        self._quiet_since = time.monotonic()
        if ASKS in request.url and request.failure is None:
            self._answered.append(request)
            self._is_filled = self._is_filled or FILLS in (request.post_data or "")

    def _failed(self, request: Request) -> None:
        self._done(request)
        # A page that is left takes its open questions along.
        if request.failure != "net::ERR_ABORTED":
            self.seen.failed.append(f"{request.url} {request.failure}")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    # Going and waiting.

    def go(self, path: str, *, heading: str | None = None) -> None:
        """Open an address cold, and wait until it has settled."""
        self._is_filled = False
        self.page.goto(self.base + path)
        self.settle(heading=heading)

    def weigh(self, path: str) -> int:
        """Open an address; return the bytes, as they were sent, of all its questions' answers."""
        self._answered.clear()
        self.go(path)
        return sum(request.sizes()["responseBodySize"] for request in self._answered)

    @property
    def path(self) -> str:
        """The address that the browser shows, without the server."""
        return self.page.url.removeprefix(self.base)

    def until(self, is_so: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
        """Wait until something is so; the browser's own waits need what the policy forbids."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = is_so()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:.0f} s: {what} at {self.page.url}")
            self.page.wait_for_timeout(25)

    def settle(self, *, heading: str | None = None) -> None:
        """Wait until the page has its heading, its charts and grids, and asks nothing more."""
        self.until(self._is_settled, f"the page settles {self._why()}")
        if heading is not None:
            self.until(lambda: self.heading() == heading, f"heading {heading!r}")

    def _is_settled(self) -> bool:
        if not self._is_filled or self._open or time.monotonic() - self._quiet_since < QUIET_S:
            return False
        return bool(self.page.evaluate(SETTLED))

    def _why(self) -> str:
        return f"(open: {len(self._open)}, filled: {self._is_filled})"

    def heading(self) -> str:
        """The page's only visible h1."""
        found: list[str] = self.page.locator("h1:visible").all_inner_texts()
        return " | ".join(plain(text) for text in found)

    def text(self, selector: str = "#main") -> str:
        """What a part of the page says, with plain spaces."""
        return plain(self.page.locator(selector).first.inner_text())

    def still(self) -> str:
        """What the page says, once it says the same twice: a grid draws its rows after the page."""
        read = [self.text()]

        def is_same() -> bool:
            read.append(self.text())
            return read[-1] == read[-2]

        self.page.wait_for_timeout(300)
        self.until(is_same, "the page says the same twice")
        return read[-1]

    def controls(self) -> dict[str, str]:
        """What the page's controls have chosen, by the key that they write into the address."""
        found: dict[str, str] = self.page.evaluate(CONTROLS)
        return found

    def choose(self, key: str, label: str) -> None:
        """Choose by its label, with the mouse, and wait for what follows."""
        box = self.page.locator(f"""#main [id*='"key":"{key}"']:visible""").first
        if box.locator("input[type=radio]").count():
            box.locator("label", has_text=label).first.click()
        else:
            box.click()
            self.page.get_by_role("option", name=label, exact=True).first.click()
        self.settle()

    # What may not be.

    def faults(self, *, axe: bool = True) -> list[str]:
        """Everything that is wrong with what is shown now, a line each."""
        found = self.seen.faults()
        found += [f"layout: {line}" for line in self.page.evaluate(LAYOUT)]
        headings = self.page.locator("h1:visible").count()
        if headings != 1:
            found.append(f"layout: {headings} visible h1")
        if axe:
            found += [f"axe: {line}" for line in self.axe()]
        return [f"{self.path} {self.scheme} {self.width}: {line}" for line in found]

    def look(self, path: str, name: str, *, axe: bool = True) -> list[str]:
        """Open an address, keep its picture, and return what is wrong with it.

        A page that does not settle is a fault like any other: the next ones are looked at.
        """
        began = time.monotonic()
        try:
            self.go(path)
            found = self.faults(axe=axe)
        except AssertionError as error:
            found = [str(error), *self.seen.faults()]
        self.picture(name)
        self.seen.forget()
        log.debug("%s took %.2f s", path, time.monotonic() - began)
        return found

    def axe(self) -> list[str]:
        """What axe-core calls serious or critical."""
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(AXE)
        result = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations'], rules: {'region': {enabled: false}}})"
        )
        lines = []
        for violation in result["violations"]:
            if violation["impact"] not in ("serious", "critical"):
                continue
            where = [str(node["target"][0]) for node in violation["nodes"]]
            why = violation["nodes"][0]["failureSummary"].splitlines()[-1].strip()
            lines.append(
                f"{violation['id']} at {len(where)}: {', '.join(where[:3])}: {why[:200]} "
                f"{violation['nodes'][0]['html'][:160]}"
            )
        return lines

    def resize(self, width: int) -> None:
        """Change the window's width as somebody would, and wait for what follows."""
        self.width = width
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.wait_for_timeout(100)  # until the page has heard of it and begun to ask
        self.settle()

    def picture(self, name: str) -> None:
        """Keep a picture when DRIFTLINE_PICTURES says where."""
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            file = Path(PICTURES) / f"{name}-{self.scheme}-{self.width}.png"
            self.page.screenshot(path=file, full_page=True)

    # What is drawn.

    def figures(self) -> list[dict[str, Any]]:
        """Of every drawn figure: its id, its traces' kinds and sizes, its number of shapes."""
        found: list[dict[str, Any]] = json.loads(self.page.evaluate(FIGURES))
        return found


def plain(text: str) -> str:
    """A text with ordinary spaces, one at a time."""
    return " ".join(text.split())


def host_of(url: str) -> str:
    """The host that a link leads to."""
    return urlsplit(url).hostname or ""


# The heading is there, nothing is a skeleton, every visible chart is drawn, every grid has rows.
SETTLED = """(() => {
  const shown = e => e.getClientRects().length > 0;
  const main = document.querySelector('#main');
  if (!main || ![...document.querySelectorAll('h1')].some(shown)) return false;
  if (document.fonts.status !== 'loaded') return false;
  if ([...main.querySelectorAll('.skeleton')].some(shown)) return false;
  for (const graph of main.querySelectorAll('.dash-graph'))
    if (shown(graph) && !graph.querySelector('.js-plotly-plot .main-svg')) return false;
  for (const grid of main.querySelectorAll('.ag-theme-quartz, .ag-root-wrapper'))
    if (shown(grid) && !grid.querySelector('.ag-row, .ag-overlay-no-rows-center')) return false;
  return true;
})()"""

# By key: the checked radio's value, or the text in a list's field.
CONTROLS = """(() => {
  const found = {};
  for (const e of document.querySelectorAll(`#main [id*='"at":"control"']`)) {
    if (!e.getClientRects().length) continue;
    const key = JSON.parse(e.id).key;
    const chosen = e.querySelector('input:checked');
    found[key] = chosen ? chosen.value : (e.value || e.textContent).trim();
  }
  return found;
})()"""

# Sideways scroll, and what sticks out of the window.
LAYOUT = """(() => {
  const wide = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > wide) {
    const out = [...document.querySelectorAll('body *')].filter(e => {
      const box = e.getBoundingClientRect();
      return box.width && box.right > wide + 1 && !e.closest('.js-plotly-plot');
    }).slice(0, 3).map(e => {
      const within = e.closest('[id]');
      return (within ? '#' + within.id + ' ' : '') + e.tagName + '.' + e.className + ' '
        + (e.textContent || '').slice(0, 40);
    });
    const to = document.documentElement.scrollWidth;
    found.push('scrolls sideways to ' + to + ': ' + out.join(', '));
  }
  return found;
})()"""

FIGURES = """(() => {
  const size = v => v == null ? 0 : v.bdata ? 0 : v.length || 0;
  return JSON.stringify([...document.querySelectorAll('.js-plotly-plot')].map(plot => ({
    id: plot.closest('[id]') ? plot.closest('[id]').id : '',
    shapes: ((plot._fullLayout || {}).shapes || []).length,
    traces: (plot._fullData || []).map(trace => ({
      type: trace.type,
      points: Math.max(size(trace.x), trace.type === 'heatmap' ? 0 : size(trace.y)),
    })),
  })));
})()"""
