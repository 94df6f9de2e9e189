"""Who may ask: nobody without the token, unless a path is named here as open.

One ASGI layer around everything, inside the guard: what is added behind it is closed until
somebody opens it. A program sends the token (`Authorization: Bearer`), a person gives it once at
`/login` and has a session, a signed cookie. The cookie goes along when a link from outside is
followed (`SameSite=Lax`: an alert's link opens its page), and so it alone changes nothing: a
request that may change something must also come from a page of this site. Whoever has the token
that only reads changes nothing at all, and is not shown what other machines answered.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import login
from monitor.api import hooks
from monitor.api.guard import SAFE_METHODS, Origin, header, is_own
from monitor.api.problems import MEDIA_TYPE, problem_body
from monitor.api.sessions import (
    RENEW_S,
    ROLE,
    SESSION_S,
    VIEWER,
    Access,
    FailureLimit,
    Session,
)
from monitor.clock import Clock

log = structlog.get_logger(__name__)

# Health checks come from machines that have no token; the login page cannot ask for one.
OPEN: Final = frozenset({"/healthz", "/readyz"}) | login.ASSETS
# What a script or a page asks for: it is told, not led to a page.
_NO_PAGES: Final = ("/api/", "/_", "/assets/", "/metrics")
# A person errs a few times; ten a quarter of an hour find no token that is worth the name.
LOGINS, ALL_LOGINS, LOGINS_S = 10, 200, 900.0
# A program with an old token asks on and on, and others may share its address.
BEARERS, ALL_BEARERS, BEARERS_S = 100, 1_000, 60.0
# By these nothing is changed, though they are sent as what may change something: what a page asks
# of the dashboard, what a silence would hold back, what another monitor would have found.
_ONLY_READS: Final = re.compile(
    r"/_dash-update-component|/api/v1/silences/preview|/api/v1/models/.+/monitor/backtest"
)
_Header = tuple[bytes, bytes]


class Authentication:
    """ASGI middleware: the token or a session, or no answer.

    Parameters
    ----------
    access
        What each token opens.
    public
        Where people open the pages, if that is not where requests arrive.
    """

    def __init__(
        self, app: ASGIApp, *, access: Access, clock: Clock, public: Origin | None = None
    ) -> None:
        self._app, self._access, self._public, self._clock = app, access, public, clock
        self._logins = FailureLimit(each=LOGINS, overall=ALL_LOGINS, window_s=LOGINS_S)
        self._bearers = FailureLimit(each=BEARERS, overall=ALL_BEARERS, window_s=BEARERS_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path, is_safe = scope["path"], scope["method"] in SAFE_METHODS
        # What comes by a hook is signed, and believed by that alone.
        is_hook = path.startswith(hooks.OPEN) and scope["method"] == "POST"
        if (path in OPEN and is_safe) or is_hook:
            await self._app(scope, receive, send)
        elif path == login.PATH:
            await self._login(scope, receive, send)
        elif path == login.LOGOUT:
            await self._logout(scope, send)
        elif (given := _bearer(scope)) is not None:
            await self._with_token(given, scope, receive, send)
        elif (session := self._session(scope)) is None:
            await _refuse(scope, send)
        elif not is_safe and not self._is_from_here(scope):
            await _problem(
                send, 403, "Another site may not write here",
                "A session may change something only from a page of this site.",
                "send the token instead, as Authorization: Bearer TOKEN",
            )  # fmt: skip
        else:
            await self._as(session.role, scope, receive, self._renewing(session, scope, send))

    async def _as(self, role: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through as far as its role goes."""
        # By POST alone: a model's name may end as one of these, and be deleted.
        asks = scope["method"] == "POST" and _ONLY_READS.fullmatch(scope["path"]) is not None
        changes = scope["method"] not in SAFE_METHODS and not asks
        if role == VIEWER and changes:
            await _problem(
                send, 403, "This token only reads",
                f"Who has it may look at everything and change nothing: {scope['method']} is not "
                "for them.",
                "use the token of those who may (DRIFTLINE_TOKEN), or ask somebody who has it",
            )  # fmt: skip
            return
        await self._app({**scope, ROLE: role}, receive, send)

    # Programs.

    async def _with_token(self, given: str, scope: Scope, receive: Receive, send: Send) -> None:
        address, now_s = _address(scope), self._clock.monotonic_s()
        role = self._access.role(given)
        wait_s = self._bearers.wait_s(address, now_s, is_right=role is not None)
        if wait_s > 0:
            await _problem(
                send, 429, "Too many wrong tokens",
                "So many came from there that none is looked at now.",
                "correct the token and try again later",
                headers=[_retry_after(wait_s)],
            )  # fmt: skip
        elif role is not None:
            await self._as(role, scope, receive, send)
        else:
            self._bearers.note(address, now_s)
            await _refuse(scope, send, is_wrong=True)

    # People.

    def _session(self, scope: Scope) -> Session | None:
        now_s = self._clock.now_ms() // 1_000
        for cookie in _cookies(scope, _cookie_name(scope)):
            session = self._access.session(cookie, now_s)
            if session is not None:
                return session
        return None

    def _renewing(self, session: Session, scope: Scope, send: Send) -> Send:
        """Return what sends an answer with what a session needs: no shared cache, a new cookie."""
        now_s = self._clock.now_ms() // 1_000
        more: list[_Header] = []
        if now_s - session.seen_s >= RENEW_S:
            more.append(self._cookie(scope, Session(session.began_s, now_s, session.role)))

        async def renewing_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    # After a logout, "back" must show nothing.
                    headers.append((b"cache-control", b"private, no-store"))
                message = {**message, "headers": [*headers, *more]}
            await send(message)

        return renewing_send

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            asked = _fields(scope["query_string"])
            then = login.local_path(asked.get("next", "/"))
            if self._session(scope) is not None:
                await _see(send, then)
            else:
                said = "You are logged out." if "out" in asked else ""
                await _html(send, 200, login.page(then=then, said=said))
        elif scope["method"] == "POST":
            await self._try(scope, receive, send)
        else:
            await _not_allowed(send, b"GET, HEAD, POST")

    async def _try(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        if not self._is_from_here(scope) or kind != "application/x-www-form-urlencoded":
            await _problem(
                send, 403, "Another site may not log in here",
                "The form must be sent from the login page of this site.",
                "open /login; programs send Authorization: Bearer TOKEN",
            )  # fmt: skip
            return
        fields = _fields(await _body(receive))
        then = login.local_path(fields.get("next", "/"))
        address, now_s = _address(scope), self._clock.monotonic_s()
        role = self._access.role(fields.get("token", "").strip())
        wait_s = self._logins.wait_s(address, now_s, is_right=role is not None)
        if wait_s > 0:
            minutes = math.ceil(wait_s / 60)
            wrong = f"Too many wrong tokens: try again in {minutes} min."
            await _html(
                send, 429, login.page(then=then, wrong=wrong), headers=[_retry_after(wait_s)]
            )
        elif role is not None:
            self._logins.forget(address)
            seen_s = self._clock.now_ms() // 1_000
            session = Session(seen_s, seen_s, role)
            await _see(send, then, headers=[self._cookie(scope, session)])
        else:
            self._logins.note(address, now_s)
            log.warning("a wrong token at the login page", address=address)
            page = login.page(then=then, wrong="This is not the token.")
            await _html(send, 401, page, headers=[_CHALLENGE])

    async def _logout(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "POST":
            await _not_allowed(send, b"POST")
        elif not self._is_from_here(scope):
            await _problem(
                send, 403, "Another site may not log out here",
                "The button must be pressed on a page of this site.", "open / and log out there",
            )  # fmt: skip
        else:
            await _see(send, f"{login.PATH}?out", headers=[_cookie_header(scope, "", 0)])

    def _cookie(self, scope: Scope, session: Session) -> _Header:
        return _cookie_header(scope, self._access.seal(session), SESSION_S)

    def _is_from_here(self, scope: Scope) -> bool:
        """Whether a page of this site sent the request: every browser says which page did."""
        said = header(scope, b"origin") or header(scope, b"referer")
        if said is None or header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            return False
        # Another port of this host is another site, though the cookie goes to both.
        return is_own(said, scope, self._public)


# What a request says.


def _bearer(scope: Scope) -> str | None:
    scheme, _, given = (header(scope, b"authorization") or "").strip().partition(" ")
    # A proxy may have a login of its own (Basic): that is not for us.
    return given.strip() if scheme.lower() == "bearer" else None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _cookie_name(scope: Scope) -> str:
    # A browser lets nobody but this very host set a name with this prefix, and only by https.
    return "__Host-driftline" if scope.get("scheme") == "https" else "driftline-session"


def _cookies(scope: Scope, wanted: str) -> Sequence[str]:
    said = b";".join(value for name, value in scope["headers"] if name == b"cookie")
    pairs = (part.strip().partition("=") for part in said.decode("latin-1").split(";"))
    return [value for name, _, value in pairs if name == wanted][:4]


def _fields(form: bytes) -> dict[str, str]:
    """The fields of a form or a query, the first of each name."""
    try:
        found = parse_qs(form.decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


async def _body(receive: Receive) -> bytes:
    """The body, which the guard keeps small."""
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    return body


# Answers.

_CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="driftline"')


def _retry_after(wait_s: float) -> _Header:
    return (b"retry-after", str(math.ceil(wait_s)).encode())


def _cookie_header(scope: Scope, value: str, seconds: int) -> _Header:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return (
        b"set-cookie",
        f"{_cookie_name(scope)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
        f"{secure}".encode(),
    )


async def _refuse(scope: Scope, send: Send, *, is_wrong: bool = False) -> None:
    path = scope["path"]
    is_page = scope["method"] in ("GET", "HEAD") and not path.startswith(_NO_PAGES)
    if is_page and not is_wrong:
        raw = scope.get("raw_path") or path.encode()
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        await _see(send, login.address(login.local_path((raw + query).decode("latin-1"))))
        return
    await _problem(
        send, 401, "The token is wrong" if is_wrong else "A token is needed",
        "This is not the token that the server was started with." if is_wrong
        else "This server answers nobody without its token.",
        "send Authorization: Bearer TOKEN; driftline.Client and the command line take it from "
        "DRIFTLINE_TOKEN, people log in at /login",
        headers=[_CHALLENGE],
    )  # fmt: skip


async def _not_allowed(send: Send, methods: bytes) -> None:
    await _problem(
        send, 405, "Not by this method", "", f"use {methods.decode()}",
        headers=[(b"allow", methods)],
    )  # fmt: skip


async def _see(send: Send, where: str, headers: Sequence[_Header] = ()) -> None:
    await _answer(send, 303, b"", [(b"location", where.encode("ascii")), *headers])


async def _html(send: Send, status: int, page: str, headers: Sequence[_Header] = ()) -> None:
    kind = (b"content-type", b"text/html; charset=utf-8")
    await _answer(send, status, page.encode(), [kind, *headers])


async def _problem(
    send: Send,
    status: int,
    title: str,
    detail: str,
    mend: str,
    headers: Sequence[_Header] = (),
) -> None:
    body = json.dumps(problem_body(status, title, detail, mend)).encode()
    # The body of what is refused is not read: the connection cannot go on.
    kind = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    await _answer(send, status, body, [*kind, *headers])


async def _answer(send: Send, status: int, body: bytes, headers: Sequence[_Header]) -> None:
    length = (b"content-length", str(len(body)).encode())
    kept = (b"cache-control", b"no-store")
    start = {"type": "http.response.start", "status": status, "headers": [length, kept, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
