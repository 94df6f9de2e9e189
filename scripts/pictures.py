"""Take the README's pictures: `python scripts/pictures.py` runs the demo and photographs its pages.

Into `docs/pictures`, light and dark. Needs Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from driftline import Client
from driftline.errors import DriftlineError
from monitor.cli.processes import free_port

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
MODEL = "/models/flight-delay"
PAGES = {"model": MODEL, "overview": "/"}
SCHEMES = ("light", "dark")
WAIT_S = 300.0


def main() -> None:
    """Run the demo, wait for its year's end, photograph it, end it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    port, broker = free_port(), free_port()
    driftline = Path(sys.executable).with_name("driftline")
    with tempfile.TemporaryDirectory() as folder:
        # One version whose heatmap is the whole year.
        ports = ["--port", str(port), "--broker-port", str(broker)]
        demo = subprocess.Popen([driftline, "demo", "--no-retrain", *ports], cwd=folder)
        try:
            _wait(Client(f"http://127.0.0.1:{port}"), demo)
            _photograph(f"http://127.0.0.1:{port}")
        finally:
            demo.terminate()
            demo.wait(30)


def _wait(client: Client, demo: subprocess.Popen[bytes]) -> None:
    deadline, last = time.monotonic() + WAIT_S, -1
    while time.monotonic() < deadline and demo.poll() is None:
        time.sleep(5)
        try:
            days = sum(1 for _ in client.windows("flight-delay", length="day"))
        except DriftlineError:
            continue
        # February to December, and nothing was added since the last look.
        if days == last and days >= 333:
            return
        last = days
    raise SystemExit("the demo did not come to its end")


def _photograph(base: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for scheme in SCHEMES:
            page = browser.new_page(
                viewport={"width": 1440, "height": 1000},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            for name, path in PAGES.items():
                query = (
                    "?from=2013-02-01T05:00:00Z&to=2014-01-01T05:00:00Z" if path == MODEL else ""
                )
                page.goto(base + path + query)
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(2_500)
                page.screenshot(path=PICTURES / f"{name}-{scheme}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
