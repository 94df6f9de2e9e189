"""PostgreSQL holds, and every page and every route answers, what SQLite does.

The hostile database is made by the real code a second time, on PostgreSQL: its names are what
databases disagree about most.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import living_database
import postgres
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from hostile import hostile_names
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import address
from dashboard.filling import Filler
from dashboard.pages import Page
from dashboard.pages.table import PAGES
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.storage import engine as storage
from monitor.storage import schema as t

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
from addresses import every_page, missing_pages

NAMES = hostile_names()
SCREEN = {"width": 1440, "height": 900, "zone": "UTC", "scheme": "light"}


class Both(NamedTuple):
    """The same story on both."""

    sqlite: Engine
    postgresql: Engine


@pytest.fixture(scope="module")
def both(
    databases: postgres.Databases, hostile_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    target = tmp_path_factory.mktemp("both") / "hostile.db"
    target.write_bytes(hostile_file.read_bytes())
    url = databases.copy_of("hostile", lambda engine: living_database.live(engine, NAMES))
    engines = Both(storage.create(f"sqlite:///{target}"), storage.create(url))
    yield engines
    for engine in engines:
        engine.dispose()


def rows(engine: Engine, table: sa.Table) -> list[tuple[Any, ...]]:
    with storage.reading(engine) as conn:
        return sorted(
            (tuple(row) for row in conn.execute(sa.select(table))),
            key=lambda row: [(value is not None, value) for value in row],
        )


@pytest.mark.parametrize("table", t.metadata.tables.values(), ids=lambda table: table.name)
def test_every_table_holds_the_same_rows(both: Both, table: sa.Table) -> None:
    assert rows(both.postgresql, table) == rows(both.sqlite, table)


def page_of(path: str) -> Page:
    parts = address.path_parts(path.partition("?")[0])
    return next(page for page in PAGES if page.is_at(parts))


def filled(engine: Engine, where: str) -> Any:
    path, mark, search = where.partition("?")
    filler = Filler(engine, HeldClock(living_database.NOW_MS), 30.0)
    page = page_of(where)
    made = filler.filled_frame(page, path, mark + search, SCREEN)
    seen = next(part for part in made._traverse() if getattr(part, "id", "") == f"{page.name}-seen")
    assert seen.data, f"{where} was not filled"
    return json.loads(to_json_plotly(made))


def test_every_page_is_filled_with_the_same(both: Both) -> None:
    places = every_page(both.sqlite, NAMES)
    missing = missing_pages(NAMES)
    missing.pop("nowhere")
    for name, where in (places | missing).items():
        assert filled(both.postgresql, where) == filled(both.sqlite, where), name


def addresses(client: TestClient) -> Iterator[str]:
    """Every route that reads, of things that are there."""
    there = {
        "model": NAMES.model,
        "name": NAMES.model,
        "version": NAMES.successor,
        "feature": NAMES.weight,
        "topic": "driftline.events",
        "number": "1",
        "incident": "1",
        "q": NAMES.model[:3],
        "id": client.get("/api/v1/dead-letters").json()["items"][0]["id"],
        "digest": client.get("/api/v1/references").json()["items"][0]["digest"],
    }
    document = client.get("/api/v1/openapi.json").json()
    for path, item in document["paths"].items():
        if "get" not in item:
            continue
        query = {}
        for parameter in item["get"].get("parameters", ()):
            name = parameter["name"]
            if parameter["in"] == "path":
                assert name in there, f"{path}: which {name}?"
                path = path.replace(f"{{{name}}}", quote(there[name], safe=""))
            elif parameter.get("required"):
                query[name] = there[name]
        yield str(client.build_request("GET", path, params=query).url)


def test_every_route_answers_the_same(both: Both) -> None:
    clients = []
    for engine in both:
        app = create_app(engine, with_dashboard=False, clock=HeldClock(living_database.NOW_MS))
        clients.append(TestClient(app, base_url="http://127.0.0.1:8050"))
    asked = list(addresses(clients[0]))
    assert len(asked) > 15
    for where in asked:
        ours, theirs = (client.get(where) for client in clients)
        # No endpoint has the model's name, no message or request a letter's id; no upload is there.
        nothing = ("/endpoints/", "/deliveries/", "/retrains/", "/uploads/")
        is_there = not any(name in where for name in nothing)
        assert (ours.status_code == 200) == is_there, (where, ours.text)
        assert (theirs.status_code, theirs.text) == (ours.status_code, ours.text), where
