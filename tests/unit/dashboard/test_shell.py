"""The shell: what a browser may send, what is sent back, what stands around every page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from living_database import NOW_MS
from sqlalchemy.engine import Engine

from dashboard import shell
from dashboard.app import create
from dashboard.look import Cache, Screen
from dashboard.pages.table import FIRST_STEPS, NOWHERE, PAGES
from monitor.clock import HeldClock
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.views.models import ModelLine

GARBAGE: tuple[Any, ...] = (
    None, 0, -1, 1e300, True, "", "x" * 50_000, "/models/\x00", "/models/%ff/features/%00",
    [], [1, "a"], {}, {"version": []}, {"scheme": 1, "tz": "../../etc/passwd", "visit": "now"},
    {"marks": 1, "earlier": "x", "at_ms": "y"}, {"asked": {}, "slots": []}, "\ud800",
)  # fmt: skip


@pytest.fixture(scope="module")
def seeded(living_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A living database that the tests of this module may write to."""
    copied = tmp_path_factory.mktemp("shell") / "living.db"
    shutil.copyfile(living_file, copied)
    engine = storage.create(f"sqlite:///{copied}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def browser(seeded: Engine) -> FlaskClient:
    return create(seeded, clock=HeldClock(NOW_MS)).server.test_client()


def dependencies(client: FlaskClient) -> list[dict[str, Any]]:
    found = client.get("/_dash-dependencies").get_json()
    return [one for one in found if one["clientside_function"] is None]


def ask(client: FlaskClient, one: dict[str, Any], values: list[Any], moved: int = 0) -> Any:
    """Call a callback as a browser would; `moved` is the input that changed."""
    places = [*one["inputs"], *one["state"]]
    filled = [{**place, "value": value} for place, value in zip(places, values, strict=True)]
    names = one["output"].strip(".").split("...")
    outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
    body = {
        "output": one["output"],
        "outputs": outputs if one["output"].startswith("..") else outputs[0],
        "inputs": filled[: len(one["inputs"])],
        "state": filled[len(one["inputs"]) :],
        "changedPropIds": [f"{places[moved]['id']}.{places[moved]['property']}"],
    }
    return client.post(
        "/_dash-update-component", data=json.dumps(body), content_type="application/json"
    )


def test_whatever_a_browser_sends_no_callback_breaks(browser: FlaskClient) -> None:
    listed = dependencies(browser)
    assert len(listed) >= len(PAGES) + 4
    for one in listed:
        n = len(one["inputs"]) + len(one["state"])
        for value in GARBAGE:
            answer = ask(browser, one, [value] * n)
            assert answer.status_code in (200, 204), (one["output"], value, answer.text[:500])


def test_each_page_survives_any_query(browser: FlaskClient, seeded: Engine) -> None:
    queries = (
        "?version=9&segment=%00&window=month&from=x&to=-5d&at=never&stat=odd&view=3d&scale=log",
        "?from=2030-01-01T00:00:00Z&to=2010-01-01T00:00:00Z&vs=v%00&page=-1&sort=;drop",
        "?reason=%ff&letter=1:2&topic=%00&range=9y&state=odd&model=%00&kind=%ff&show=odd&q=%00",
        "?from=2050-01-01&to=2051-01-01&letter=1:1:40:0&vs=2099-01-01T00:00:00Z",
    )
    paths = {
        "overview": "/",
        "model": "/models/parcel-delay",
        "feature": "/models/parcel-delay/features/weight",
        "incidents": "/incidents",
        "incident": "/incidents/1",
        "pipeline": "/pipeline",
        "references": "/references",
    }
    fills = {
        name: one
        for one in dependencies(browser)
        for name in paths
        if f"{name}-seen.data" in one["output"].strip(".").split("...")
    }
    assert set(fills) == set(paths)
    for name, one in fills.items():
        for query in queries:
            screen = {"scheme": "light", "narrow": False}
            answer = ask(browser, one, ["1.1", paths[name], query, screen, None, None])
            assert answer.status_code == 200
            said = json.dumps(answer.get_json())
            assert "could not be made" not in said, (name, query)
            assert "could not be read" not in said, (name, query)


def test_a_slot_that_did_not_change_is_not_sent_again(browser: FlaskClient) -> None:
    one = next(d for d in dependencies(browser) if "incidents-seen.data" in d["output"])
    screen = {"scheme": "light", "narrow": False}
    first = ask(browser, one, ["1.1", "/incidents", "", screen, None, None]).get_json()
    seen = first["response"]["incidents-seen"]["data"]
    again = ask(browser, one, ["1.1", "/incidents", "", screen, None, seen])
    assert again.status_code == 204
    fresh = ask(browser, one, ["1.2", "/incidents", "", screen, None, seen]).get_json()
    assert set(fresh["response"]) == {"incidents-seen"}


def test_a_database_that_is_gone_is_said_with_an_id(living: Engine) -> None:
    engine = living
    client = create(engine, clock=HeldClock(NOW_MS)).server.test_client()
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql("DROP TABLE data_version")
    screen = {"scheme": "light", "narrow": False}
    for one in dependencies(client):
        if "pipeline-seen.data" in one["output"]:
            said = json.dumps(
                ask(client, one, ["1.1", "/pipeline", "", screen, None, None]).get_json()
            )
            assert "The database could not be read." in said
            assert "Try again" in said
            assert "Traceback" not in said


def test_an_unknown_model_names_the_nearest(browser: FlaskClient) -> None:
    one = next(d for d in dependencies(browser) if "feature-seen.data" in d["output"])
    screen = {"scheme": "light"}
    answer = ask(
        browser, one, ["1.1", "/models/parcel-dellay/features/weight", "", screen, None, None]
    )
    said = json.dumps(answer.get_json(), ensure_ascii=False)
    assert "There is no model “parcel-dellay”" in said
    assert '"/models/parcel-delay"' in said


def test_every_page_has_its_own_address_and_ids(seeded: Engine) -> None:
    pages = (*PAGES, FIRST_STEPS, NOWHERE)
    assert len({page.name for page in pages}) == len(pages)
    ids = [slot for page in pages for slot in page.slots.values()]
    assert len(set(ids)) == len(ids)
    for parts in ((), ("models", "a/b"), ("models", "x", "features", "features"), ("pipeline",)):
        assert len([page for page in PAGES if page.is_at(parts)]) == 1, parts


def test_the_bar_lists_twelve_models_and_counts_the_rest() -> None:
    lines = [ModelLine(f"m{n}", "1", "healthy") for n in range(40)]
    links = shell.model_links(lines)
    assert len(links) == shell.MAX_MODELS + 1
    assert "all 40 models" in str(links[-1])


def test_a_browser_is_not_believed() -> None:
    said = Screen.of(
        {"scheme": "pink", "narrow": "yes", "zone": "local", "tz": "../x", "visit": -5}
    )
    assert (said.scheme, said.is_narrow, said.is_local) == ("light", False, True)
    assert said.browser_zone.key == "UTC"
    assert said.last_visit_ms is None


def test_what_was_read_is_kept_for_its_version_only() -> None:
    cache, made = Cache(kept=2), []
    for key in ("a", "a", "b", "c", "a"):
        cache.get(key, lambda key=key: made.append(key))  # type: ignore[misc]
    assert made == ["a", "b", "c", "a"]


def test_ten_tabs_that_ask_together_cost_one_read() -> None:
    cache, made, begun = Cache(), [], Event()

    def slow() -> int:
        made.append(1)
        begun.wait(10)
        return 7

    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(cache.get, "key", slow) for _ in range(10)]
        begun.set()
        assert {answer.result(10) for answer in answers} == {7}
    assert made == [1]


def test_what_could_not_be_made_is_asked_again() -> None:
    cache = Cache()

    def broken() -> int:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        cache.get("key", broken)
    assert cache.get("key", lambda: 3) == 3


def test_the_mark_moves_with_data_and_with_registrations(seeded: Engine) -> None:
    from monitor.storage import reads

    with storage.transaction(seeded) as conn:
        before = reads.version_mark(conn)
        conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))
        assert reads.version_mark(conn) != before


def test_the_layout_brings_the_page_that_asks_for_it(browser: FlaskClient) -> None:
    def layout(address: str | None) -> str:
        headers = {"Referer": address} if address else {}
        return browser.get("/_dash-layout", headers=headers).get_data(as_text=True)

    at_model = layout("http://127.0.0.1:8050/models/parcel-delay?window=hour")
    assert '"model-heat"' in at_model
    assert "parcel-delay · Driftline" in json.loads(f'"{_title(at_model)}"')
    assert '"model-heat"' not in layout("http://127.0.0.1:8050/incidents")
    assert '"incidents-seen"' in layout("http://127.0.0.1:8050/incidents")
    assert '"nowhere-seen"' in layout("http://127.0.0.1:8050/nothing/here")
    for address in (None, "http://[", "http://x/%ff/\x00", "x" * 50_000):
        assert '"page"' in layout(address), address


SCREEN = {"scheme": "dark", "narrow": False, "zone": "utc", "tz": "Asia/Tokyo", "visit": None}


@pytest.mark.parametrize(
    ("page", "path", "search"),
    [
        ("overview", "/", ""),
        ("model", "/models/parcel-delay", "?window=hour"),
        ("model", "/models/no-such-model", ""),
        ("incidents", "/incidents", "?state=all"),
        ("references", "/references", ""),
    ],
)
def test_a_known_screen_gets_its_page_filled_and_its_question_brings_nothing_new(
    browser: FlaskClient, page: str, path: str, search: str
) -> None:
    browser.set_cookie("driftline-screen", quote(json.dumps(SCREEN)))
    layout = browser.get(
        "/_dash-layout", headers={"Referer": f"http://127.0.0.1:8050{path}{search}"}
    )
    browser.delete_cookie("driftline-screen")
    brought = _props(layout.get_json(), f"{page}-seen")["data"]
    one = _callback(browser, f"{page}-seen.data")
    fresh = ask(browser, one, [None, path, search, SCREEN, None, None])
    answered = fresh.get_json()["response"]
    assert brought == answered.pop(f"{page}-seen")["data"]
    for name, props in answered.items():
        here = _props(layout.get_json(), name)
        assert {what: here.get(what) for what in props} == props, name
    assert ask(browser, one, [None, path, search, SCREEN, None, brought]).status_code == 204
    elsewhere = {**SCREEN, "scheme": "light"}
    assert ask(browser, one, [None, path, search, elsewhere, None, brought]).status_code == 200


def test_a_screen_that_cannot_be_read_is_not_believed(browser: FlaskClient) -> None:
    for said in ("", "x", "[1]", "%ff", quote(json.dumps({"scheme": ["dark"] * 150})), "[" * 900):
        browser.set_cookie("driftline-screen", said)
        answer = browser.get("/_dash-layout", headers={"Referer": "http://127.0.0.1:8050/"})
        assert answer.status_code == 200
        assert "data" not in _props(answer.get_json(), "overview-seen"), said
    browser.delete_cookie("driftline-screen")


def _props(layout: Any, name: str) -> dict[str, Any]:
    """The properties of the component with this id."""
    found = [layout]
    while found:
        here = found.pop()
        if isinstance(here, list):
            found += here
        elif isinstance(here, dict) and "props" in here:
            if here["props"].get("id") == name:
                props: dict[str, Any] = here["props"]
                return props
            found.append(here["props"].get("children"))
    raise AssertionError(f"{name} is not in the layout")


def _title(layout: str) -> str:
    return layout.split('"title":"', 1)[1].split('"', 1)[0]


def test_no_page_waits_for_the_heartbeat(browser: FlaskClient) -> None:
    """Dash holds a callback back while one of its inputs is another's answer."""
    listed = browser.get("/_dash-dependencies").get_json()
    answered = {
        output for one in listed for output in one["output"].strip(".").split("...") if output
    }
    assert "version.data" not in answered


def test_assets_are_kept_by_the_browser(browser: FlaskClient) -> None:
    with browser.get("/assets/live.js") as answer:
        assert "max-age=31536000" in answer.headers["Cache-Control"]


def _callback(browser: FlaskClient, output: str) -> dict[str, Any]:
    return next(
        one for one in dependencies(browser) if output in one["output"].strip(".").split("...")
    )


@pytest.mark.parametrize(
    ("zone", "path", "word"),
    [
        ("utc", "/models/parcel-delay", "UTC"),
        ("local", "/models/parcel-delay", "Berlin"),
        ("local", "/", "Tokyo"),
    ],
)
def test_the_header_tells_its_times_in_the_zone_that_was_chosen(
    browser: FlaskClient, zone: str, path: str, word: str
) -> None:
    beat = _callback(browser, "freshness.children")
    screen = {"scheme": "light", "narrow": False, "zone": zone, "tz": "Asia/Tokyo"}
    answer = ask(browser, beat, [1, None, None, screen, path]).get_json()["response"]
    assert f"\N{NO-BREAK SPACE}{word}" in json.dumps(answer["freshness"], ensure_ascii=False)


def test_there_is_no_choice_of_zones_where_they_are_one(
    browser: FlaskClient, seeded: Engine
) -> None:
    route = _callback(browser, "zone-box.hidden")

    def is_hidden() -> bool:
        moved = ask(browser, route, ["/models/parcel-delay", None, None, None]).get_json()
        return bool(moved["response"]["zone-box"]["hidden"])

    assert not is_hidden()
    with storage.transaction(seeded) as conn:
        zone = sa.select(t.model.c.timezone).where(t.model.c.name == "parcel-delay")
        before = conn.execute(zone).scalar_one()
        here = t.model.c.name == "parcel-delay"
        conn.execute(sa.update(t.model).where(here).values(timezone="Etc/UTC"))
    try:
        assert is_hidden()
    finally:
        with storage.transaction(seeded) as conn:
            conn.execute(sa.update(t.model).where(here).values(timezone=before))


def test_a_move_sends_no_control_that_stays_as_it_is(browser: FlaskClient) -> None:
    """What a browser changed by itself and took back, it restores by itself: `live.js`."""
    fill = _callback(browser, "feature-seen.data")
    path, screen = "/models/parcel-delay/features/weight", {"scheme": "light", "narrow": False}
    first = ask(browser, fill, ["1", path, "", screen, None, None]).get_json()["response"]
    assert "feature-choices" in first and "feature-part-head" in first
    seen = first["feature-seen"]["data"]
    moved = ask(browser, fill, ["1", path, "?at=newest", screen, None, seen], moved=2).get_json()
    kept = {
        "feature-choices",
        "feature-range",
        "feature-series-head",
        "feature-part-head",
        "feature-series",
    }
    assert not kept & set(moved["response"])
