"""How long pages take over a year of hours, 100 features and 20 models: `make bench-web`.

Builds a database (once; kept in the folder of `--folder`), serves it by `driftline web`,
opens every page in Chromium and does what people do on it, while a writer commits
checkpoints into the same database as `ingest` does. Prints milliseconds, and the server's
CPU beside them; run it on an idle machine and compare with itself. The budget (p95): 1.5 s
for a page, 300 ms for a click.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote

import bench_web_data as data
import psutil
from playwright.sync_api import Page, Request, sync_playwright

from monitor.storage import engine as storage
from monitor.views import heat, timeline
from monitor.views.scope import resolve

PAGE_BUDGET_MS, CLICK_BUDGET_MS = 1_500, 300
ASKS = "/_dash-update-component"
# What the one question names that fills a page.
FILLS = "-seen.data"
# The heartbeat asks every two seconds, whatever is done; a page does not wait for it.
BEATS = '"output":"..pulse.data'
# A page that has asked nothing for so long has settled; it is not counted.
QUIET_S = 0.2
GIVE_UP_S = 30.0
PORT = 8791
CHECKPOINT_S = 1.0
# Every so many checkpoints something was judged, and open pages ask again: as often as ingest
# commits by default. A replay judges all the time: `--judged-every 1`.
JUDGED_EVERY = 30
# The heading stands, nothing is a skeleton, every visible chart is drawn, every grid has rows,
# and the page was told that its data came: with the page itself, or as the answer to its question.
STANDS = """(() => {
  const shown = e => e.getClientRects().length > 0;
  const main = document.querySelector('#main');
  if (!main || !document.body.dataset.filled) return false;
  if (![...document.querySelectorAll('h1')].some(shown)) return false;
  if (main.querySelector('.dash-graph--pending')) return false;
  if ([...main.querySelectorAll('.skeleton')].some(shown)) return false;
  for (const graph of main.querySelectorAll('.dash-graph'))
    if (shown(graph) && !graph.querySelector('.js-plotly-plot .main-svg')) return false;
  for (const grid of main.querySelectorAll('.grid'))
    if (shown(grid) && !grid.querySelector('.ag-row, .ag-overlay-no-rows-center')) return false;
  return true;
})()"""
# What a control and a link do: the address changes, and the router hears of it.
GO = """url => {
  history.pushState({}, '', url);
  window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
}"""


@dataclass
class Timed:
    """Milliseconds of one thing, done again and again."""

    name: str
    budget_ms: int | None
    ms: list[float] = field(default_factory=list)
    answers_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of the server, or of the view
    answer_kb: float = 0.0
    fault: str = ""

    def row(self) -> dict[str, Any]:
        """Return what is printed of it."""
        p95 = _quantile(self.ms, 95)
        return {
            "name": self.name,
            "n": len(self.ms),
            "p50_ms": _quantile(self.ms, 50),
            "p95_ms": p95,
            "cpu_p50_ms": _quantile(self.cpu_ms, 50),
            "answer_p95_ms": _quantile(self.answers_ms, 95),
            "answer_kb": round(self.answer_kb),
            "budget_ms": self.budget_ms,
            "is_within": None if p95 is None or not self.budget_ms else p95 <= self.budget_ms,
            "fault": self.fault,
        }


def _quantile(values: list[float], percent: int) -> int | None:
    if not values:
        return None
    if len(values) == 1:
        return round(values[0])
    return round(quantiles(values, n=100, method="inclusive")[percent - 1])


# -- what runs beside the browser -------------------------------------------------------------


def write(path: Path, judged_every: int) -> None:
    """Commit checkpoints for ever: positions, counters and panes, and now and then a verdict."""
    engine = storage.create(f"sqlite:///{path}")
    with storage.reading(engine) as conn:
        newest = tuple(
            conn.exec_driver_sql(
                "SELECT gridset, max(start_ms) FROM pane WHERE version_id = 1 GROUP BY gridset"
            ).one()
        )
    number = 0
    while True:
        now_ms = int(time.time() * 1000)
        with storage.transaction(engine) as conn:
            conn.exec_driver_sql(
                "UPDATE stream_position SET next_offset = next_offset + 500,"
                " end_offset = end_offset + 500, checkpoints = checkpoints + 1,"
                " checkpointed_ms = ?, fetched_ms = ?",
                (now_ms, now_ms),
            )
            conn.exec_driver_sql("UPDATE counter SET count = count + 25")
            conn.exec_driver_sql(
                "UPDATE pane SET rev = rev + 1, rows = rows + 1, body = body"
                " WHERE version_id = 1 AND gridset = ? AND start_ms = ?",
                newest,
            )
            if number % judged_every == 0:
                conn.exec_driver_sql("UPDATE data_version SET value = value + 1")
        number += 1
        time.sleep(CHECKPOINT_S)


@contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process beside this one and end it."""
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).read()
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{url} does not answer")


# -- views, without a browser -----------------------------------------------------------------


def views(path: Path, times: int) -> list[Timed]:
    """Time what the model page reads, without a page around it."""
    engine = storage.create(f"sqlite:///{path}")
    done = []
    for name, wishes, evidence in (
        ("view: day, 90 days", {}, "worst"),
        ("view: day, a year", {"from_ms": 0}, "worst"),
        ("view: day, a year, of a segment", {"from_ms": 0, "segment": "site=s03"}, "worst"),
        ("view: hour, 7 days", {"length": "hour"}, "worst"),
        ("view: hour, a year", {"from_ms": 0, "length": "hour"}, "worst"),
        ("view: hour, a year, missing", {"from_ms": 0, "length": "hour"}, "missing"),
    ):
        timed = Timed(name, None)
        for _ in range(times):
            with storage.reading(engine) as conn:
                began, cpu = time.perf_counter(), time.process_time()
                scope, _ = resolve(conn, data.MODEL, **wishes)  # type: ignore[arg-type]
                found = timeline.timeline(conn, scope, evidence=evidence)
                heat.arranged(found.squares, found.standing, heat.Arrangement())
            timed.ms.append((time.perf_counter() - began) * 1000)
            timed.cpu_ms.append((time.process_time() - cpu) * 1000)
        timed.ms, timed.cpu_ms = timed.ms[1:], timed.cpu_ms[1:]  # the first reads from the disk
        done.append(timed)
    engine.dispose()
    return done


# -- pages and clicks -------------------------------------------------------------------------


class Visitor:
    """One tab, its questions to the server, and how long it takes to stand."""

    def __init__(self, page: Page, base: str, server: psutil.Process) -> None:
        self.page, self.base, self._server = page, base, server
        self.cpu_ms = 0.0
        self._open: set[Request] = set()
        self._last = time.perf_counter()
        self._is_filled = False
        self.answers: list[tuple[float, int]] = []
        page.on("request", self._asked)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._gone)

    def _asked(self, request: Request) -> None:
        if ASKS in request.url and BEATS not in (request.post_data or ""):
            self._open.add(request)

    def _gone(self, request: Request) -> None:
        if request in self._open:
            self._open.discard(request)
            self._last = time.perf_counter()

    def _answered(self, request: Request) -> None:
        is_asked = request in self._open
        self._gone(request)
        if is_asked:
            self._is_filled = self._is_filled or FILLS in (request.post_data or "")
            timing = request.timing
            size = request.sizes()["responseBodySize"]
            self.answers.append((timing["responseEnd"] - timing["requestStart"], size))

    def timed(self, act: Callable[[], Any], *, is_opening: bool = False) -> float:
        """Return how many ms it takes from `act` until the page stands again.

        A page that opens may come with its data: then it stands before it has asked. What it
        asks all the same is waited for afterwards, and not counted.
        """
        self.answers.clear()
        self._is_filled = False
        began, cpu_s = time.perf_counter(), self._cpu_s()
        act()
        stood: float | None = None
        while time.perf_counter() - began < GIVE_UP_S:
            is_asking = bool(self._open) or not self._is_filled
            does_stand = (is_opening or not is_asking) and bool(self.page.evaluate(STANDS))
            now = time.perf_counter()
            if not does_stand or (not is_opening and stood is not None and self._last > stood):
                stood = None
            if does_stand:
                stood = stood or now
                if not is_asking and now - max(stood, self._last) >= QUIET_S:
                    self.cpu_ms = (self._cpu_s() - cpu_s) * 1000
                    return (stood - began) * 1000
            self.page.wait_for_timeout(5)
        raise TimeoutError(f"{self.page.url} does not stand after {GIVE_UP_S:.0f} s")

    def _cpu_s(self) -> float:
        times = self._server.cpu_times()
        return float(times.user + times.system)

    def open(self, path: str) -> float:
        """Open an address as a link from elsewhere does; the browser's cache is warm."""
        return self.timed(
            lambda: self.page.goto(self.base + path, wait_until="commit"), is_opening=True
        )

    def go(self, path: str) -> float:
        """Change the address from within the page."""
        return self.timed(lambda: self.page.evaluate(GO, path))


def addresses(path: Path) -> dict[str, Any]:
    """Return what there is to open, asked of the database."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    one = lambda sql, *values: db.execute(sql, values).fetchone()[0]  # noqa: E731
    drifting = one("SELECT feature FROM incident WHERE version_id = 1 AND state = 'firing' LIMIT 1")
    first, last = db.execute(
        'SELECT min(start_ms), max(start_ms) FROM "window" WHERE version_id = 1'
        " AND segment = 'all' AND length = 'day'"
    ).fetchone()
    found = {
        "feature": drifting,
        "firing": one("SELECT min(number) FROM incident WHERE version_id = 1 AND state = 'firing'"),
        "digest": one("SELECT reference_digest FROM binding WHERE version_id = 1"),
        "first": _rfc3339(first),
        "days": [_rfc3339(last - n * data.DAY_MS) for n in range(40)],
        "hours": [_rfc3339(last + n * data.HOUR_MS) for n in range(40)],
        "end": _rfc3339(last + data.DAY_MS),
    }
    db.close()
    return found


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _query(**query: str) -> str:
    return "?" + "&".join(
        f"{key.rstrip('_')}={quote(value, safe='')}" for key, value in query.items()
    )


def measure(visitor: Visitor, known: dict[str, Any], times: int, only: str) -> Iterator[Timed]:
    """Open every page, then do on it what people do."""
    model = f"/models/{data.MODEL}"
    feature = f"{model}/features/{quote(known['feature'], safe='')}"
    year = {"from_": known["first"], "to": known["end"]}
    pages = {
        "overview": "/",
        "model, day": model,
        "model, hour over a year": model + _query(window="hour", **year),
        "feature, day": feature,
        "feature, hour over a year": feature + _query(window="hour", **year),
        "incidents": "/incidents",
        "incident": f"/incidents/{known['firing']}",
        "pipeline": "/pipeline",
        "references": "/references",
        "reference": f"/references/{known['digest']}",
    }
    for name, path in pages.items():
        if only not in f"page: {name}":
            continue
        yield _again(f"page: {name}", PAGE_BUDGET_MS, visitor, [path] * (times + 1), visitor.open)
    stats = ("psi", "missing")
    clicks = {
        "choose a window, day": (feature, [feature + _query(at=at) for at in known["days"]]),
        "choose a window, hour": (
            feature + _query(window="hour"),
            [feature + _query(window="hour", at=at) for at in known["hours"]],
        ),
        "change the statistic": (
            feature,
            [feature + _query(stat=stats[n % 2]) for n in range(times + 1)],
        ),
        "change the range": (
            model,
            [model + _query(from_=at, to=known["end"]) for at in known["days"][7:]],
        ),
        "show another evidence": (
            model,
            [model + _query(evidence=stats[n % 2]) for n in range(times + 1)],
        ),
    }
    for name, (start, paths) in clicks.items():
        if only not in f"click: {name}":
            continue
        visitor.open(start)
        yield _again(f"click: {name}", CLICK_BUDGET_MS, visitor, paths[: times + 1], visitor.go)
    # A click, and a page: it leads from the heatmap to a feature, whose charts are drawn anew.
    opened = Timed("page: from a square to its feature", PAGE_BUDGET_MS)
    if only not in opened.name:
        return
    for at in known["days"][: times + 1]:
        visitor.go(model)
        _one(opened, visitor, feature + _query(at=at), visitor.go)
    opened.ms = opened.ms[1:]
    yield opened


def _again(
    name: str, budget_ms: int, visitor: Visitor, paths: list[str], act: Callable[[str], float]
) -> Timed:
    """Time each path; the first is what makes it warm."""
    timed = Timed(name, budget_ms)
    for path in paths:
        _one(timed, visitor, path, act)
        if timed.fault:
            break
    timed.ms = timed.ms[1:]
    return timed


def _one(timed: Timed, visitor: Visitor, path: str, act: Callable[[str], float]) -> None:
    try:
        timed.ms.append(act(path))
    except TimeoutError as error:
        timed.fault = str(error)
        return
    timed.cpu_ms.append(visitor.cpu_ms)
    if visitor.answers:
        timed.answers_ms.append(max(ms for ms, _ in visitor.answers))
        timed.answer_kb = max(timed.answer_kb, sum(size for _, size in visitor.answers) / 1000)


def show(timed: Timed) -> None:
    """Print a line of the table."""
    row = timed.row()
    within = {True: "within", False: "OVER", None: ""}[row["is_within"]]
    answer = f"{row['answer_p95_ms']:7,} ms {row['answer_kb']:6,} kB" if timed.answers_ms else ""
    print(
        f"{row['name']:36} {row['p50_ms'] or 0:7,} {row['p95_ms'] or 0:7,} ms "
        f"{row['cpu_p50_ms'] or 0:6,} ms  {answer:20} "
        f"{row['budget_ms'] or '':>6} {within} {row['fault']}",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    """Build, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the database is kept between runs")
    parser.add_argument("--times", type=int, default=10, help="how often each thing is done")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--no-browser", action="store_true", help="time the views alone")
    parser.add_argument("--json", action="store_true", help="print JSON to stdout at the end")
    parser.add_argument("--only", default="", help="what has this in its name: page, click, model")
    parser.add_argument(
        "--judged-every", type=int, default=JUDGED_EVERY, help="seconds from verdict to verdict"
    )
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write(asked.write, asked.judged_every)
    # The server and the writer end with it, however it is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = asked.folder or Path(tempfile.gettempdir()) / "driftline-bench-web"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "year.db"
    if not path.exists():
        began = time.perf_counter()
        data.build(
            path,
            data.Size(),
            lambda what: print(f"{time.perf_counter() - began:6.1f} s {what}", file=sys.stderr),
        )
    storage.upgrade(storage.create(f"sqlite:///{path}"))
    print(
        f"{'':36} {'p50':>7} {'p95':>7}     {'cpu':>6}    {'slowest answer p95':19} budget",
        file=sys.stderr,
    )
    done: list[Timed] = []
    driftline = str(Path(sys.executable).with_name("driftline"))
    writer = ("--write", str(path), "--judged-every", str(asked.judged_every))
    with child(sys.executable, __file__, *writer):
        for timed in views(path, asked.times + 1):
            show(timed)
            done.append(timed)
        if not asked.no_browser:
            base = f"http://127.0.0.1:{asked.port}"
            web = (driftline, "web", "--database", f"sqlite:///{path}", "--port", str(asked.port))
            with (
                child(*web) as server,
                tempfile.TemporaryDirectory() as profile,
                sync_playwright() as playwright,
            ):
                wait_for(f"{base}/healthz", server)
                # With a profile, as people have one: without, nothing compiled is kept from
                # page to page.
                browser = playwright.chromium.launch_persistent_context(
                    profile,
                    executable_path=shutil.which("chromium"),
                    args=["--no-sandbox"],
                    viewport={"width": 1440, "height": 900},
                )
                visitor = Visitor(browser.pages[0], base, psutil.Process(server.pid))
                for timed in measure(visitor, addresses(path), asked.times, asked.only):
                    show(timed)
                    done.append(timed)
                browser.close()
    if asked.json:
        print(json.dumps([timed.row() for timed in done], indent=1))


if __name__ == "__main__":
    main()
