"""Hooks: added, listed, removed; and what MLflow sends to one.

`POST /api/v1/hooks/mlflow/{name}` is open to whoever signs with the hook's secret, and to nobody
else: the server's token is not asked for there (`monitor.api.auth`). What is not signed is
refused, counted and audited; one delivery is done once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.engine import Connection, Engine
from starlette.concurrency import run_in_threadpool

from driftline.errors import Conflict
from driftline.events import MAX_NAME
from driftline.program import NAME
from driftline.wire import is_name
from monitor.api import mlflow, openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.hooks import HookAnswer, HookBody, HookDone, HookGone, HookTold
from monitor.api.asking import only_known
from monitor.api.endpoints import NAMES
from monitor.api.parameters import Cursor, Limit
from monitor.api.problems import Problem
from monitor.api.sessions import FailureLimit
from monitor.clock import Clock
from monitor.storage import awaited_promotions, models, promotions
from monitor.storage import hooks as store
from monitor.storage.engine import transaction
from monitor.storage.turns import take_turn
from monitor.views.scope import NoSuch, nearest

TAG: Final = "registered"
# Open without a token: what begins so.
OPEN: Final = "/api/v1/hooks/mlflow/"
MAX_HOOK_BYTES: Final = 64 * 1024
_LEAST_SECRET: Final = 16
# Forged ones of one address in a minute, and of all: what is more is not even counted.
_FORGED, _ALL_FORGED, _FORGED_S = 60, 600, 60.0
_Name = Annotated[str, Path(max_length=100, description="A hook's name", examples=["registry"])]
_WRITTEN = openapi.problems(403, 421, 422, 503)
_TAKEN = openapi.described(
    409,
    "The name belongs to a hook for something else",
    "The name is taken",
    "hook registry promotes flight-delay by the alias champion of MLflow's flight-delay already",
    "take another name, or remove it first",
)
_UNSIGNED = openapi.described(
    401,
    "It is not signed with the secret of a hook of this name",
    "The delivery is not believed",
    "There is no hook of this name, or its signature is not made with the hook's secret.",
    "give MLflow's webhook the secret that was told when the hook was added",
)
_REFUSED = openapi.described(
    409,
    "The version cannot be promoted",
    "The version cannot be promoted",
    "model flight-delay is archived: take it back before a version is promoted",
    "GET /api/v1/models/flight-delay/promotions lists what was promoted",
)


def router(engine: Engine, clock: Clock, *, actor: str, web_url: str = "") -> APIRouter:
    """Return the routes; `actor` is who the audit names, hooks are at `web_url`.

    Or where the request came in.
    """
    routes = APIRouter(prefix="/api/v1", tags=[TAG])
    answering = Answering(engine)
    limit_of_forged = FailureLimit(each=_FORGED, overall=_ALL_FORGED, window_s=_FORGED_S)

    def said(hook: store.Hook, request: Request) -> dict[str, Any]:
        base = (web_url or str(request.base_url)).rstrip("/")
        shown = HookAnswer.model_fields.keys() | {"created_ms", "accepted_ms", "refused_ms"}
        row = {name: getattr(hook, name) for name in hook.__slots__ if name in shown}
        return {**row, "url": f"{base}{OPEN}{hook.name}"}

    @routes.get(
        "/hooks", dependencies=[Depends(only_known)],
        **openapi.told(Page[HookAnswer], "List hooks"),
    )  # fmt: skip
    def list_hooks(request: Request, limit: Limit = None, cursor: Cursor = None) -> Response:
        """By name, with how many deliveries were believed and how many were not."""

        def read(conn: Connection) -> list[HookAnswer]:
            return [HookAnswer.model_validate(said(one, request)) for one in store.hooks(conn)]

        listing = Listing(
            HookAnswer, whole(read, lambda row: (row.name,)), lambda row: (row.name,), (str,),
            lambda row: row,
        )  # fmt: skip
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.post(
        "/hooks",
        status_code=201,
        summary="Add a hook",
        responses={
            200: {"model": HookTold, "description": "It was there already"},
            **_WRITTEN,
            **openapi.unreadable(),
            **_TAKEN,
        },
    )
    def add_hook(asked: HookBody, request: Request, response: Response) -> HookTold:
        """Let MLflow promote a model's versions by an alias of its registry.

        The same again changes nothing, not even the secret.
        """
        _check(asked)
        made = secrets.token_urlsafe(32) if asked.secret is None else None
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            take_turn(conn)
            try:
                found, is_new = store.add(
                    conn, asked.name, model=asked.model, registered=asked.registered or asked.model,
                    alias=asked.alias, secret=asked.secret or made or "", now_ms=now_ms,
                )  # fmt: skip
            except Conflict as error:
                raise Problem(
                    409, "The name is taken", str(error),
                    mend=f"choose another name, or `{NAME} hook remove {asked.name}` first",
                ) from None  # fmt: skip
            if is_new:
                models.note(
                    conn, actor=actor, action="hook.add", subject=asked.name, now_ms=now_ms,
                    model=found.model, registered=found.registered, alias=found.alias,
                )  # fmt: skip
            else:
                response.status_code, made = 200, None
        answer = HookAnswer.model_validate(said(found, request))
        return HookTold(**dict(answer), is_new=is_new, secret=made)

    @routes.delete(
        "/hooks/{name}", summary="Remove a hook",
        responses={**_WRITTEN, **openapi.problems(404)},
    )  # fmt: skip
    def remove_hook(name: _Name) -> HookGone:
        """Believe nothing any more that comes by it, and forget its secret."""
        with transaction(engine) as conn:
            found = store.find(conn, name)
            if found is None:
                raise NoSuch("hook", name, nearest(name, (one.name for one in store.hooks(conn))))
            store.remove(conn, found)
            models.note(
                conn, actor=actor, action="hook.remove", subject=name, now_ms=clock.now_ms()
            )
        return HookGone(name=name)

    @routes.post(
        "/hooks/mlflow/{name}",
        summary="Take what MLflow sends",
        responses={
            **openapi.problems(403, 413, 421, 422, 503), **_UNSIGNED, **_REFUSED,
        },
    )  # fmt: skip
    async def deliver(name: _Name, request: Request) -> HookDone:
        """Promote the version that an alias was set on, where it is the hook's alias.

        Signed as MLflow signs (`X-MLflow-Delivery-Id`, `X-MLflow-Timestamp`,
        `X-MLflow-Signature`), with the hook's secret. A version without a reference is promoted
        once it has one.
        """
        body = await request.body()
        address = request.client.host if request.client else ""

        def take() -> HookDone:
            return _take(engine, clock, name, dict(request.headers), body)

        try:
            return await run_in_threadpool(take)
        except mlflow.Forged as error:
            now_s = clock.monotonic_s()
            if limit_of_forged.wait_s(address, now_s) > 0:
                raise Problem(
                    429, "Too many forged deliveries",
                    "So many came from there that they are not counted any more.",
                    mend="correct the secret and try again later",
                ) from None  # fmt: skip
            limit_of_forged.note(address, now_s)
            await run_in_threadpool(_refuse, engine, clock, name, str(error))
            raise Problem(
                401, "The delivery is not believed",
                f"There is no hook of this name, or {error}.",
                mend="give MLflow's webhook the secret that was told when the hook was added, and "
                "see that the clocks agree",
            ) from None  # fmt: skip

    return routes


def _check(asked: HookBody) -> None:
    if NAMES.fullmatch(asked.name) is None:
        raise Problem(
            422, "The hook's name cannot be", f"{asked.name[:40]!r} is no name.",
            mend="1 to 100 letters, digits, dots, dashes and underscores",
        )  # fmt: skip
    if not is_name(asked.model):
        raise Problem(
            422, "The model's name cannot be", f"No event can name {asked.model[:40]!r}.",
            mend=f"1 to {MAX_NAME} printable characters",
        )  # fmt: skip
    if asked.secret is not None and len(asked.secret) < _LEAST_SECRET:
        raise Problem(
            422, "The secret is too short", f"Of {len(asked.secret)} characters it can be guessed.",
            mend=f"at least {_LEAST_SECRET}, or none: then one is made",
        )  # fmt: skip
    for text in (asked.registered, asked.alias, asked.secret):
        if text is not None and not text.isprintable():
            raise Problem(
                422, "The text cannot be", "It has characters that cannot be printed.",
                mend="write the name as MLflow shows it",
            )  # fmt: skip


def _refuse(engine: Engine, clock: Clock, name: str, why: str) -> None:
    with transaction(engine) as conn:
        hook = store.find(conn, name)
        if hook is not None:
            store.refuse(conn, hook, why, actor=_actor(hook), now_ms=clock.now_ms())


def _actor(hook: store.Hook) -> str:
    return f"mlflow:{hook.name}"


def _take(
    engine: Engine, clock: Clock, name: str, headers: Mapping[str, str], body: bytes
) -> HookDone:
    """Do what a delivery says, once.

    Raises
    ------
    mlflow.Forged
        It is not signed with the secret of a hook of this name. Nothing was written.
    Problem
        It is signed, and cannot be read, or cannot be done.
    """
    now_ms = clock.now_ms()
    with transaction(engine) as conn:
        hook = store.find(conn, name)
        # Who guesses names waits as long as who guesses secrets.
        secret = secrets.token_urlsafe(32) if hook is None else hook.secret
        delivery_id = mlflow.verify(headers, body, secret, now_s=now_ms / 1000)
        assert hook is not None
        take_turn(conn)
        before = store.taken(conn, hook, delivery_id)
        if before is None:
            outcome, words = _do(conn, hook, body, now_ms)
            store.take(conn, hook, delivery_id, outcome, words, now_ms=now_ms)
        else:
            outcome, words = before.outcome, before.words
    if outcome == "unreadable":
        raise Problem(
            422, "The delivery cannot be read", words,
            mend="send MLflow's model_version_alias.created here",
        )  # fmt: skip
    if outcome == "refused":
        raise Problem(
            409, "The version cannot be promoted", words,
            mend=f"GET /api/v1/models/{hook.model}/promotions lists what was promoted",
        )  # fmt: skip
    return HookDone(outcome=outcome, detail=words, replayed=before is not None)


def _do(conn: Connection, hook: store.Hook, body: bytes, now_ms: int) -> tuple[str, str]:
    """Return what became of a delivery, and in words."""
    try:
        found = mlflow.alias_of(body)
    except mlflow.Unreadable as error:
        return "unreadable", str(error)
    if found is None:
        return "ignored", "It is about something else than an alias that was set."
    if found.registered != hook.registered:
        return "ignored", f"This hook is about {hook.registered}, not {found.registered[:100]}."
    if found.alias != hook.alias:
        return "ignored", f"The alias {hook.alias} promotes, not {found.alias[:100]}."
    actor, version = _actor(hook), found.version
    if not is_name(version):
        return "unreadable", "no event can name that version"
    what = f"Version {version} of {hook.model}"
    if not promotions.can_be_judged(conn, hook.model, version):
        awaited_promotions.want(
            conn, model=hook.model, version=version, source="mlflow", actor=actor, now_ms=now_ms
        )
        return "pending", f"{what} has no reference yet: it is promoted once it has."
    try:
        done = promotions.promote(
            conn, model=hook.model, version=version, source="mlflow", actor=actor, now_ms=now_ms
        )
    except Conflict as error:
        models.note(
            conn, actor=actor, action="hook.refuse", subject=hook.name, now_ms=now_ms,
            why=str(error), version=version,
        )  # fmt: skip
        return "refused", str(error)
    if done.created:
        return "promoted", f"{what} is live."
    return "unchanged", f"{what} was live already."
