"""Every view is a link: opened cold it shows what it names, and what is chosen goes into it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from addresses import every_page, incident, letter, reference
from harness import Visit
from hostile import Names
from living_database import day_ms
from sqlalchemy.engine import Engine

from dashboard import address

pytestmark = pytest.mark.browser

Visitor = Callable[..., Visit]
NAMES = Names()
MODEL, FEATURE = NAMES.model, NAMES.weight
AT = address.rfc3339(day_ms(13))
FROM, TO = address.rfc3339(day_ms(9)), address.rfc3339(day_ms(14))

# Address, heading, and what its controls must have chosen.
LINKS: list[tuple[str, str, dict[str, str]]] = [
    ("/", "", {}),
    ("/?show=attention&sort=name", "", {"show": "attention"}),
    (address.model(MODEL), MODEL, {"window": "1 day"}),
    (address.model(MODEL, version="1"), MODEL, {"version": "v1"}),
    (address.model(MODEL, window="hour"), MODEL, {"window": "1 hour"}),
    (address.model(MODEL, window="week"), MODEL, {"window": "1 week"}),
    (address.model(MODEL, segment="channel=web"), MODEL, {"segment": "channel=web"}),
    (address.model(MODEL, sort="name", view="table"), MODEL, {"sort": "name", "view": "table"}),
    (address.model(MODEL, evidence="unseen"), MODEL, {"evidence": "unseen"}),
    (address.model(MODEL, from_=FROM, to=TO), MODEL, {}),
    (address.feature(MODEL, FEATURE), FEATURE, {}),
    (address.feature(MODEL, FEATURE, stat="ks"), FEATURE, {"stat": "KS"}),
    (address.feature(MODEL, FEATURE, scale="linear"), FEATURE, {"scale": "linear"}),
    (address.feature(MODEL, FEATURE, at=AT, view="table"), FEATURE, {"view": "table"}),
    (address.feature(MODEL, FEATURE, at=AT, view="ecdf"), FEATURE, {"view": "ecdf"}),
    (address.feature(MODEL, NAMES.carrier, stat="unseen"), NAMES.carrier, {"stat": "Unseen"}),
    ("/incidents?state=all", "", {"state": "all"}),
    ("/pipeline?reason=bad_json", "", {}),
    ("/pipeline?range=30d", "", {"range": "30d"}),
    ("/references", "", {}),
]


def chosen(one: Visit, wanted: dict[str, str]) -> dict[str, str]:
    """What the page's controls have chosen, of what is asked about."""
    return {key: value for key, value in one.controls().items() if key in wanted}


def test_every_address_of_the_table_opens_cold(
    visit: Visitor, living_site: tuple[str, Engine]
) -> None:
    base, engine = living_site
    wrong: list[str] = []
    one = visit(base)
    for path, heading, wanted in [
        *LINKS,
        (address.incident(incident(engine, FEATURE)), "", {}),
        (letter(engine), "", {}),
        (address.reference(reference(engine, NAMES)), "", {}),
    ]:
        one.go(path)
        if heading and heading not in one.heading():
            wrong.append(f"{path}: heading {one.heading()!r}")
        found = chosen(one, wanted)
        if found != wanted:
            wrong.append(f"{path}: {found} of {one.controls()}")
        # What the link says stays in it, and nothing is added.
        kept = parse_qs(urlsplit(one.page.url).query)
        if kept != parse_qs(urlsplit(path).query):
            wrong.append(f"{path}: became {one.path}")
        if "The link asks for" in one.text():
            wrong.append(f"{path}: {one.text()[:200]}")
        wrong += one.seen.faults()
        one.seen.forget()
    assert wrong == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (address.model(MODEL, window="month"), "month"),
        (address.model(MODEL, segment="origin=JFK"), "origin=JFK"),
        (address.model(MODEL, version="99"), "99"),
        (address.model(MODEL, view="pie"), "pie"),
        (address.feature(MODEL, FEATURE, stat="kl"), "kl"),
        ("/incidents?state=sad", "sad"),
    ],
)
def test_a_link_that_asks_for_what_is_not_there_says_so_and_shows_the_default(
    visit: Visitor, living_site: tuple[str, Engine], path: str, said: str
) -> None:
    base, _ = living_site
    one = visit(base)
    one.go(path)
    (line,) = [line for line in one.page.locator("#main").inner_text().splitlines()
               if line.startswith("The link asks for")]  # fmt: skip
    assert said in line
    assert one.faults() == []


CHANGES = [
    ("model", "window", "1 hour", {"window": "hour"}),
    ("model", "version", "v1", {"version": "1"}),
    ("model", "view", "Table", {"view": "table"}),
    ("feature-numeric", "scale", "Linear", {"scale": "linear"}),
    ("feature-numeric", "view", "Table", {"view": "table"}),
    ("incidents", "state", "Firing", {"state": "firing"}),
    ("pipeline", "range", "30 days", {"range": "30d"}),
]


@pytest.mark.parametrize(("page", "key", "label", "query"), CHANGES)
def test_what_is_chosen_stands_in_the_link_survives_a_reload_and_back_undoes_it(
    visit: Visitor,
    living_site: tuple[str, Engine],
    page: str,
    key: str,
    label: str,
    query: dict[str, str],
) -> None:
    base, engine = living_site
    one = visit(base)
    one.go("/")
    one.go(every_page(engine, NAMES)[page])
    before = one.controls()
    one.choose(key, label)
    one.until(
        lambda: {k: v[0] for k, v in parse_qs(urlsplit(one.page.url).query).items()} == query,
        f"the link has {query}",
    )
    drawn = f"""#main [id*='"key":"{key}"'][id*='"was":"{query[key]}"']"""
    one.until(lambda: one.page.locator(drawn).count() > 0, "the page is drawn anew")
    one.settle()
    after = one.controls()
    assert after[key] in (query[key], label)
    assert after != before
    shown = one.still()
    one.page.reload()
    one.settle()
    assert one.controls() == after
    one.until(lambda: one.text() == shown, "the same is said")
    one.page.go_back()
    one.settle()
    assert key not in parse_qs(urlsplit(one.page.url).query)
    assert one.seen.faults() == []


def test_the_title_names_what_is_looked_at(visit: Visitor, living_site: tuple[str, Engine]) -> None:
    base, engine = living_site
    one = visit(base)
    pages = every_page(engine, NAMES)
    for name, title in {
        "overview": "Driftline",
        "model": "parcel-delay · Driftline",
        "feature-numeric": "weight · parcel-delay · Driftline",
        "incidents": "Incidents · Driftline",
        "pipeline": "Pipeline · Driftline",
        "references": "References · Driftline",
    }.items():
        one.go(pages[name])
        assert one.page.title().endswith(title), name


def test_links_within_are_followed_without_loading_the_page_and_back_returns(
    visit: Visitor, living_site: tuple[str, Engine]
) -> None:
    base, _ = living_site
    one = visit(base)
    one.go("/")
    one.page.evaluate("window.stayed = true")
    one.page.locator(f'#models a[href="/models/{MODEL}"]').click()
    one.settle(heading=MODEL)
    link = one.page.locator(f'#main a[href*="/models/{MODEL}/features/"]:visible').first
    link.click()
    one.until(lambda: "/features/" in one.page.url, "the feature's page")
    one.settle()
    one.page.go_back()
    one.settle(heading=MODEL)
    one.page.go_back()
    one.settle()
    assert one.path == "/"
    assert one.page.evaluate("window.stayed")
    assert one.seen.faults() == []
