"""Nobody is answered without the token: every route that there is, and any that is added."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from dashboard import login
from monitor.api import auth
from monitor.api.app import create_app
from monitor.api.guard import LOOPBACK, MAX_FORM_BYTES
from monitor.api.sessions import LONGEST_S, RENEW_S, SESSION_S, Access, FailureLimit, Session
from monitor.clock import HeldClock
from tests.seed_database import NOW_MS

TOKEN = "a-token-of-more-than-20-characters"
LOCAL = "http://127.0.0.1:8050"
HERE = {"origin": LOCAL}
BEARER = {"authorization": f"Bearer {TOKEN}"}
FORM = {**HERE, "content-type": "application/x-www-form-urlencoded"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(NOW_MS)


@pytest.fixture
def app(engine: Engine, clock: HeldClock) -> FastAPI:
    return create_app(engine, token=TOKEN, with_dashboard=False, clock=clock)


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=LOCAL, follow_redirects=False) as client:
        yield client


@pytest.fixture
def whole_app(engine: Engine, clock: HeldClock) -> FastAPI:
    """The same with the dashboard, which takes a while to make."""
    return create_app(engine, token=TOKEN, clock=clock)


@pytest.fixture
def guest(whole_app: FastAPI) -> Iterator[TestClient]:
    with TestClient(whole_app, base_url=LOCAL, follow_redirects=False) as client:
        yield client


def logged_in(client: TestClient, then: str = "/", token: str = TOKEN) -> Any:
    here = {"origin": str(client.base_url)}
    return client.post("/login", data={"token": token, "next": then}, headers=here)


def is_closed(response: Any) -> bool:
    """Whether the answer tells nothing but that one must log in."""
    if response.status_code == 303:
        return response.headers["location"].startswith("/login") and not response.content
    challenge: str = response.headers.get("www-authenticate", "")
    return response.status_code == 401 and challenge.startswith("Bearer")


def routes_of(routes: Iterable[Any]) -> Iterator[str]:
    """The path of every route, those of included routers as well."""
    for route in routes:
        within = getattr(route, "original_router", None)
        if within is not None:
            yield from routes_of(within.routes)
        else:
            yield route.path


def paths(app: FastAPI) -> set[str]:
    """A path of every route, its parameters filled with something."""
    found = {re.sub(r"\{[^}]*\}", "1", path) for path in routes_of(app.routes)}
    described = {re.sub(r"\{[^}]*\}", "1", path) for path in app.openapi()["paths"]}
    assert len(described) > 20
    assert described < found
    dash = {
        "/", "/incidents", "/pipeline", "/models/a/features/b", "/nowhere", "/favicon.ico",
        "/_dash-layout", "/_dash-dependencies", "/_dash-update-component", "/_reload-hash",
        "/_dash-component-suites/dash/deps/react.js", "/assets/20-page.css", "/assets/live.js",
        "/assets/../assets/live.js", "/login/", "/login/x", "//login", "/healthz/", "/healthz/x",
        "/HEALTHZ", "/%2e/login", "/api/v1/models/..%2f..%2fhealthz",
    }  # fmt: skip
    return found | dash - {""}


def test_every_route_is_closed_to_strangers(whole_app: FastAPI, guest: TestClient) -> None:
    opened = set()
    for path in paths(whole_app):
        for method in METHODS:
            response = guest.request(method, path)
            if not is_closed(response):
                opened.add((method, path))
    # What MLflow sends is believed by its signature, and here by nothing.
    [hook] = [(method, path) for method, path in opened if "/hooks/mlflow/" in path]
    assert hook[0] == "POST"
    assert guest.request(*hook).status_code == 401
    opened.discard(hook)
    assert {path for _, path in opened} == {"/healthz", "/readyz"}
    assert {method for method, _ in opened} == {"GET", "HEAD", "OPTIONS"}


def test_a_route_that_is_added_is_closed(app: FastAPI, stranger: TestClient) -> None:
    @app.get("/open-by-mistake")
    def mistake() -> dict[str, str]:
        return {"secret": "told"}

    assert is_closed(stranger.get("/open-by-mistake"))
    assert stranger.get("/open-by-mistake", headers=BEARER).json() == {"secret": "told"}


def test_what_is_open_is_named_and_there(guest: TestClient) -> None:
    assert {"/healthz", "/readyz", "/assets/mark.svg"} < auth.OPEN
    for path in auth.OPEN:
        assert guest.get(path).status_code == 200, path
    for asset in set(re.findall(r'(?:src|href)="(/[^"]*)"', login.page())):
        assert asset in auth.OPEN
    for asset in re.findall(r"url\((/assets/[^)]*)\)", login.page()):
        assert asset in auth.OPEN


def test_a_program_sends_the_token_or_is_told_how(stranger: TestClient) -> None:
    assert stranger.get("/api/v1/models", headers=BEARER).status_code == 200
    assert stranger.get("/api/v1/models", headers={"authorization": f"bearer  {TOKEN} "}).is_success
    for wrong in ("Bearer", "Bearer ", "Bearer x", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN):
        response = stranger.get("/api/v1/models", headers={"authorization": wrong})
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer realm="driftline"'
        assert response.headers["content-type"] == "application/problem+json"
        assert "DRIFTLINE_TOKEN" in response.json()["mend"]
        assert TOKEN not in response.text
    assert stranger.post("/api/v1/references", json={}, headers=BEARER).status_code == 422


def test_a_page_leads_to_the_login_and_the_login_back(stranger: TestClient) -> None:
    asked = stranger.get("/models/a%20b/features/x?window=3&to=2#not-sent")
    assert asked.status_code == 303
    form = stranger.get(asked.headers["location"])
    assert form.status_code == 200
    assert form.headers["cache-control"] == "no-store"
    (then,) = re.findall(r'name="next" value="([^"]*)"', form.text)
    done = logged_in(stranger, then.replace("&amp;", "&"))
    assert done.status_code == 303
    assert done.headers["location"] == "/models/a%20b/features/x?window=3&to=2"
    assert stranger.get("/api/v1/models").status_code == 200
    assert stranger.get("/login?next=/pipeline").headers["location"] == "/pipeline"


@pytest.mark.parametrize(
    "then",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example", "\\\\x",
     "javascript:alert(1)", "/login", "/logout", "/api/v1/models", "", "/" + "x" * 5_000,
     "/a\r\nb"],
)  # fmt: skip
def test_the_login_leads_to_no_other_site(stranger: TestClient, then: str) -> None:
    assert logged_in(stranger, then).headers["location"] == "/"


def test_what_comes_after_is_text_to_the_form() -> None:
    page = login.page(then='/"><script>alert(1)</script>', wrong="<b>", said="<i>")
    assert "<script>alert" not in page
    assert "<b><b>" not in page


def test_the_cookie_is_kept_from_scripts_and_other_sites(app: FastAPI) -> None:
    for scheme, name in (("http", "driftline-session"), ("https", "__Host-driftline")):
        with TestClient(app, base_url=f"{scheme}://127.0.0.1", follow_redirects=False) as client:
            cookie = logged_in(client).headers["set-cookie"]
            parts = {part.strip() for part in cookie.split(";")[1:]}
            wanted = {"Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={SESSION_S}"}
            assert cookie.startswith(f"{name}=")
            assert parts == wanted | ({"Secure"} if scheme == "https" else set())
            assert TOKEN not in cookie
            assert client.get("/api/v1/models").status_code == 200


def test_a_session_ends_when_nobody_comes_and_goes_on_while_somebody_does(
    stranger: TestClient, clock: HeldClock
) -> None:
    logged_in(stranger)
    assert "set-cookie" not in stranger.get("/api/v1/models").headers
    for _ in range(20):
        clock.advance(SESSION_S / 2)
        assert stranger.get("/api/v1/models").status_code == 200
    clock.advance(SESSION_S)
    assert is_closed(stranger.get("/api/v1/models"))

    logged_in(stranger)
    began = clock.now_ms()
    while clock.now_ms() - began < (LONGEST_S - RENEW_S) * 1_000:
        clock.advance(SESSION_S / 2)
        stranger.get("/api/v1/models")
    assert is_closed(stranger.get("/api/v1/models"))


def test_forged_and_garbled_cookies_open_nothing(stranger: TestClient) -> None:
    now_s = NOW_MS // 1_000
    good = Access(TOKEN).seal(Session(now_s, now_s))
    stranger.cookies.set("driftline-session", good)
    assert stranger.get("/api/v1/models").status_code == 200
    body, _, signature = good.rpartition(".")
    later = body.replace(str(now_s), str(now_s + 9_999))
    others = Access("another-token-of-20-characters").seal(Session(now_s, now_s))
    for bad in ("", "x", ".", "1.2.3.4.5", body, f"{later}.{signature}", good + "x", good[:-1],
                others, "\xe9" * 40, "x" * 100_000):  # fmt: skip
        headers = {b"cookie": b"driftline-session=" + bad.encode("latin-1")}
        assert is_closed(stranger.get("/api/v1/models", headers=headers)), bad[:50]


def test_a_session_changes_something_only_from_a_page_of_this_site(stranger: TestClient) -> None:
    logged_in(stranger)

    def write(**headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return stranger.post("/api/v1/references", json={}, headers=sent).status_code

    assert write(origin=LOCAL) == write(referer=f"{LOCAL}/pipeline") == 422
    assert write() == write(referer="https://evil.example/") == 403
    assert write(origin="null") == write(origin="https://evil.example") == 403
    assert write(origin="http://127.0.0.1:9999", sec_fetch_site="same-site") == 403
    assert write(origin=LOCAL, sec_fetch_site="same-origin") == 422
    # The token proves by itself that no browser sent it unasked.
    assert write(**BEARER) == 422


def test_the_login_and_the_logout_take_no_form_of_another_site(stranger: TestClient) -> None:
    for headers in ({}, {"origin": "https://evil.example"}, {"referer": "https://evil.example/"}):
        refused = stranger.post("/login", data={"token": TOKEN}, headers=headers)
        assert refused.status_code == 403
        assert "set-cookie" not in refused.headers
        assert stranger.post("/logout", headers=headers).status_code == 403
    as_json = stranger.post("/login", json={"token": TOKEN}, headers=HERE)
    assert as_json.status_code == 403
    assert (
        stranger.post("/login", content="x" * (MAX_FORM_BYTES + 1), headers=FORM).status_code == 413
    )
    assert stranger.put("/login").status_code == stranger.get("/logout").status_code == 405


def test_a_wrong_token_is_said_and_never_repeated(
    stranger: TestClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in ("", "wrong-wrong-wrong-wrong", "\ud7ff\x00é", TOKEN[:-1]):
        response = logged_in(stranger, "/pipeline", wrong)
        assert response.status_code == 401
        assert "set-cookie" not in response.headers
        assert "This is not the token." in response.text
        assert 'aria-invalid="true"' in response.text
        assert 'value="/pipeline"' in response.text
        assert wrong not in response.text or not wrong
    for content in ("", "&&&", "token", "%", "token=%ff%fe", "a=1&" * 50):
        assert stranger.post("/login", content=content, headers=FORM).status_code in (401, 429)
    said = "".join(capsys.readouterr()) + caplog.text
    assert "wrong-wrong" not in said
    assert TOKEN[:-1] not in said


def test_whoever_errs_too_often_waits_and_others_do_not(
    stranger: TestClient, app: FastAPI, clock: HeldClock
) -> None:
    for _ in range(auth.LOGINS):
        assert logged_in(stranger, token="x").status_code == 401
    stopped = logged_in(stranger)
    assert stopped.status_code == 429
    assert stopped.headers["retry-after"] == "900"
    assert "try again in 15 min" in stopped.text
    assert stranger.get("/api/v1/models", headers=BEARER).status_code == 200
    with TestClient(app, base_url=LOCAL, follow_redirects=False, client=("192.0.2.7", 1)) as other:
        assert logged_in(other).status_code == 303
    clock.advance(900)
    assert logged_in(stranger).status_code == 303


def test_wrong_tokens_of_programs_are_not_compared_for_ever(
    stranger: TestClient, clock: HeldClock
) -> None:
    wrong = {"authorization": "Bearer x"}
    for _ in range(auth.BEARERS):
        assert stranger.get("/api/v1/models", headers=wrong).status_code == 401
    stopped = stranger.get("/api/v1/models", headers=BEARER)
    assert stopped.status_code == 429
    assert 0 < int(stopped.headers["retry-after"]) <= 60
    clock.advance(60)
    assert stranger.get("/api/v1/models", headers=BEARER).status_code == 200


def test_guessing_from_many_addresses_is_stopped_with_bounded_memory() -> None:
    limit = FailureLimit(each=5, overall=50, window_s=60, places=10)
    for i in range(49):
        limit.note(f"192.0.2.{i}", 0.0)
    assert len(limit._counts) == 10
    assert limit.wait_s("198.51.100.1", 1.0) == 0
    limit.note("192.0.2.1", 1.0)
    assert limit.wait_s("198.51.100.1", 1.0) == 59
    assert limit.wait_s("198.51.100.1", 60.0) == 0
    # Strangers lock nobody out who has the token; who guessed from there waits all the same.
    assert limit.wait_s("198.51.100.1", 1.0, is_right=True) == 0
    for _ in range(5):
        limit.note("198.51.100.2", 1.0)
    assert limit.wait_s("198.51.100.2", 1.0, is_right=True) > 0
    # One machine has a whole network of IPv6 to itself.
    for i in range(5):
        limit.note(f"2001:db8::{i}", 70.0)
    assert limit.wait_s("2001:db8::ffff", 70.0) > 0
    assert limit.wait_s("2001:db8:0:1::1", 70.0) == 0


def test_logging_out_forgets_the_session(guest: TestClient) -> None:
    logged_in(guest)
    page = guest.get("/")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "private, no-store"
    done = guest.post("/logout", headers=HERE)
    assert done.status_code == 303
    assert "Max-Age=0" in done.headers["set-cookie"]
    assert is_closed(guest.get("/"))
    assert "You are logged out." in guest.get(done.headers["location"]).text


def test_pages_have_the_button_only_where_people_log_in(engine: Engine, guest: TestClient) -> None:
    logged_in(guest)
    assert '"logout"' in guest.get("/_dash-layout").text
    with TestClient(create_app(engine, clock=HeldClock(NOW_MS)), base_url=LOCAL) as client:
        assert '"logout"' not in client.get("/_dash-layout").text
        assert "form-action 'none'" in client.get("/").headers["content-security-policy"]
    assert "form-action 'self'" in guest.get("/login").headers["content-security-policy"]


def test_the_login_script_is_the_one_that_the_policy_allows(stranger: TestClient) -> None:
    response = stranger.get("/login")
    assert login.SCRIPT_HASH in response.headers["content-security-policy"]
    assert re.findall(r"<script>(.*?)</script>", response.text) == [login.SCHEME]


def test_a_foreign_name_is_refused_before_anything_else(engine: Engine, clock: HeldClock) -> None:
    app = create_app(
        engine, with_dashboard=False, token=TOKEN, allowed_hosts=LOOPBACK | {"drift.example"},
        clock=clock,
    )  # fmt: skip
    with TestClient(app, base_url="http://drift.example", follow_redirects=False) as client:
        assert client.get("/api/v1/models", headers=BEARER).status_code == 200
        evil = {"origin": "https://evil.example"}
        assert client.post("/login", data={"token": TOKEN}, headers=evil).status_code == 403
        for other in ("https://drift.example", "http://drift.example:8050", "http://localhost"):
            refused = client.post("/login", data={"token": TOKEN}, headers={"origin": other})
            assert refused.status_code == 403, other
            assert "web.url" in refused.json()["mend"]
        here = {"origin": "http://drift.example"}
        assert client.post("/login", data={"token": TOKEN}, headers=here).status_code == 303
        foreign = client.get("/api/v1/models", headers={**BEARER, "host": "evil.example"})
        assert foreign.status_code == 421
        assert "web.hosts" in foreign.json()["mend"]


def test_a_name_with_anything_beside_it_is_no_name(stranger: TestClient) -> None:
    for host in (
        "evil@127.0.0.1", "evil@127.0.0.1:8050", "127.0.0.1/x", "127.0.0.1#x", "127.0.0.1?x",
        "127.0.0.1:x", "127.0.0.1:", " 127.0.0.1", "", ":8050", "127.0.0.1 evil", "[::1",
    ):  # fmt: skip
        refused = stranger.get("/healthz", headers={"host": host})
        assert refused.status_code == 421, host
    for host in ("127.0.0.1", "127.0.0.1:8050", "LOCALHOST:8050", "[::1]:8050", "localhost."):
        assert stranger.get("/healthz", headers={"host": host}).status_code == 200, host


def test_a_page_of_another_port_or_scheme_is_another_site(stranger: TestClient) -> None:
    logged_in(stranger)
    for other in ("http://127.0.0.1:9999", "http://127.0.0.1", "https://127.0.0.1:8050",
                  "http://localhost:8050", "http://x@127.0.0.1:8050"):  # fmt: skip
        # Browsers that say nothing in Sec-Fetch-Site, too.
        for said in ({"origin": other}, {"referer": f"{other}/pipeline"}):
            assert stranger.post("/api/v1/references", json={}, headers=said).status_code == 403
            assert stranger.post("/logout", headers=said).status_code == 403
    assert stranger.post("/api/v1/references", json={}, headers=HERE).status_code == 422


def test_the_public_address_is_this_site_behind_a_proxy_that_rewrites_names(
    engine: Engine, clock: HeldClock
) -> None:
    app = create_app(
        engine, with_dashboard=False, token=TOKEN, clock=clock, is_behind_proxy=True,
        public_url="https://drift.example:8443/pages",
    )  # fmt: skip
    with TestClient(app, base_url=LOCAL, follow_redirects=False) as client:
        for origin, status in (
            ("https://drift.example:8443", 303),
            ("https://drift.example", 403),
            ("http://drift.example:8443", 403),
        ):
            form = {"token": TOKEN}
            answer = client.post("/login", data=form, headers={"origin": origin})
            assert answer.status_code == status, origin


def test_a_proxy_is_believed_only_where_a_setting_says_so(engine: Engine, clock: HeldClock) -> None:
    said = {
        "x-forwarded-for": "203.0.113.9, 192.0.2.7",
        "x-forwarded-proto": "https",
    }
    for is_behind_proxy in (False, True):
        app = create_app(
            engine, with_dashboard=False, token=TOKEN, clock=clock, is_behind_proxy=is_behind_proxy
        )
        with TestClient(app, base_url=LOCAL, follow_redirects=False) as client:
            said["origin"] = LOCAL.replace("http:", "https:") if is_behind_proxy else LOCAL
            form = {"token": TOKEN}
            cookie = client.post("/login", data=form, headers=said).headers["set-cookie"]
            assert ("Secure" in cookie) is is_behind_proxy
            for i in range(auth.LOGINS):
                # What stands before the proxy's own entry is a claim.
                sent = {**said, "x-forwarded-for": f"203.0.113.{i}, 192.0.2.7"}
                client.post("/login", data={"token": "x"}, headers=sent)
            other = {**said, "x-forwarded-for": "192.0.2.8"}
            status = client.post("/login", data=form, headers=other).status_code
            assert status == (303 if is_behind_proxy else 429)
            assert client.post("/login", data=form, headers=said).status_code == 429
