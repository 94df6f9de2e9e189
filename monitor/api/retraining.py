"""Retraining: a model's policy, asking for one, and reports about it. Written into the audit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict
from driftline.program import NAME
from monitor.api import openapi
from monitor.api.answering import Answering, Listing
from monitor.api.answers.common import Page
from monitor.api.answers.retrained import (
    AskBody,
    AskedAnswer,
    PolicyAnswer,
    PolicyBody,
    PolicyGone,
    ReportBody,
    RetrainAnswer,
    SaysAnswer,
    State,
)
from monitor.api.asking import only_known
from monitor.api.cursors import Key
from monitor.api.parameters import MAX_INT, AnyModel, AnyVersion, Cursor, Limit, ModelPath
from monitor.api.problems import Problem
from monitor.api.reading.deliveries import known
from monitor.api.reading.finding import find_model, find_version
from monitor.clock import Clock
from monitor.detect.retraining import TRAINERS, Policy
from monitor.evaluate import retrain_now
from monitor.storage import models, registry, retrain_rows, retraining_policies, retrains
from monitor.storage.engine import transaction
from monitor.storage.retrain_rows import Retrain
from monitor.storage.retraining_policies import Standing
from monitor.views.scope import NoSuch

TAG = "retraining"
_WRITTEN = {**openapi.problems(403, 404, 421, 422, 503), **openapi.unreadable()}
_Number = Annotated[int, Path(ge=1, le=MAX_INT, description="A request's number", examples=[7])]
_AnyState = Annotated[
    State | None, Query(description="Only those in this state", examples=["running"])
]
_AnyIncident = Annotated[
    int | None,
    Query(
        ge=1, le=MAX_INT, examples=[12], description="Only those that stand on this incident"
    ),
]  # fmt: skip
_OVER = openapi.described(
    409,
    "It is over, or further on already",
    "The report comes too late",
    "request 7 is over, it expired: it takes no more reports",
    "ask for another: POST /api/v1/models/{model}/retrains; a version that is promoted ends it",
)
_OPEN = openapi.described(
    409,
    "A request is open, or the trainer takes no messages",
    "No retraining can be asked for now",
    "request 7 for flight-delay 3 is running: one is open at a time",
    "wait for its end, or report it failed: POST /api/v1/retrains/{id}",
)


def router(engine: Engine, clock: Clock, *, actor: str, web_url: str = "") -> APIRouter:
    """Return the routes; `actor` is who the audit names.

    Links in messages lead to `web_url`, or to where the request came in.
    """
    routes = APIRouter(prefix="/api/v1", tags=[TAG])
    answering = Answering(engine)

    @routes.get(
        "/models/{name:path}/retraining", dependencies=[Depends(only_known)],
        **openapi.told(PolicyAnswer, "Get when a model's retraining is asked for", 404),
    )  # fmt: skip
    def retraining(request: Request, name: ModelPath) -> Response:
        """A model without a policy is never retrained by itself."""

        def read(conn: Connection) -> PolicyAnswer:
            find_model(conn, name)
            return _policy(_standing(conn, name))

        return answering.one(request, read, by_content=True)

    @routes.put(
        "/models/{name:path}/retraining",
        summary="Set when a model's retraining is asked for",
        responses=_WRITTEN,
    )
    def set_retraining(name: ModelPath, asked: PolicyBody) -> PolicyAnswer:
        """It holds from the next midnight on; what was asked for goes on. Again changes nothing."""
        if asked.open_days > asked.of_days:
            raise Problem(
                422, "The policy can never be met",
                f"{asked.open_days} of the last {asked.of_days} days are not possible.",
                mend="give as many of_days as open_days, or more",
            )  # fmt: skip
        with transaction(engine) as conn:
            owner = find_model(conn, name)
            trainer = known(conn, asked.trainer)
            if trainer.kind not in TRAINERS:
                raise Problem(
                    422, "This endpoint cannot train",
                    f"{trainer.name} is of kind {trainer.kind}.",
                    mend=f"name an endpoint of kind {', '.join(TRAINERS[:-1])} or {TRAINERS[-1]}: "
                    "POST /api/v1/endpoints adds one",
                )  # fmt: skip
            policy = Policy(**asked.model_dump(exclude={"trainer"}))
            if retraining_policies.put(conn, owner.id, policy, trainer.id, now_ms=clock.now_ms()):
                _note(conn, "retraining.set", name, trainer=trainer.name, **asdict(policy))
            return _policy(_standing(conn, name))

    @routes.delete(
        "/models/{name:path}/retraining",
        summary="Ask for no retraining of a model any more",
        responses=openapi.problems(403, 404, 421, 422, 503),
    )
    def remove_retraining(name: ModelPath) -> PolicyGone:
        """What was asked for goes on."""
        with transaction(engine) as conn:
            owner = find_model(conn, name)
            _standing(conn, name)
            retraining_policies.remove(conn, owner.id)
            _note(conn, "retraining.remove", name)
        return PolicyGone(model=name)

    @routes.post(
        "/models/{name:path}/retrains",
        status_code=201,
        summary="Ask for a retraining now",
        responses={**_WRITTEN, **_OPEN},
    )
    def ask_retrain(
        request: Request, name: ModelPath, asked: Annotated[AskBody | None, Body()] = None
    ) -> AskedAnswer:
        """Whatever the policy says by itself; what it says is in the answer.

        A dry run changes nothing: it shows the message that would be sent.
        """
        asked, now_ms = asked or AskBody.model_validate({}), clock.now_ms()
        pages = web_url or str(request.base_url)
        every = registry.load(engine).versions
        with transaction(engine) as conn:
            owner = find_model(conn, name)
            version = find_version(conn, name, asked.version).name
            standing = _standing(conn, name)
            bound = every.get((owner.name, version))
            if bound is None:
                raise Problem(
                    409, "No retraining can be asked for now", f"model {name[:200]} is archived",
                    mend="take it back first: POST /api/v1/models/{model}/unarchive",
                )  # fmt: skip
            found = retrain_now.says(conn, bound, standing, now_ms)
            says = SaysAnswer.model_validate({**asdict(found.decision), "at_ms": found.facts.at_ms})
            wanted = retrain_now.wanted(
                conn, bound, standing, found, reason=asked.reason, actor=asked.by or actor
            )
            if asked.dry_run:
                told = retrain_now.message_of(standing, wanted, now_ms=now_ms, web_url=pages)
                return AskedAnswer(policy=says, message=told)
            try:
                made = retrains.request(conn, wanted, standing, now_ms=now_ms, web_url=pages)
            except Conflict as error:
                raise Problem(
                    409, "No retraining can be asked for now", str(error),
                    mend="wait for its end, or report it failed: POST /api/v1/retrains/{id}"
                    if "open at a time" in str(error)
                    else "PUT /api/v1/models/{model}/retraining names another trainer",
                ) from None  # fmt: skip
            assert made is not None  # its key is new
            _note(
                conn, "retrain.ask", str(made.id), model=name, version=version, by=asked.by,
                reason=asked.reason,
            )  # fmt: skip
            return AskedAnswer(policy=says, request=answer_of(made))

    @routes.get(
        "/retrains", dependencies=[Depends(only_known)],
        **openapi.told(Page[RetrainAnswer], "List requests for a retraining", 404),
    )  # fmt: skip
    def list_retrains(
        request: Request,
        model: AnyModel = None,
        version: AnyVersion = None,
        state: _AnyState = None,
        incident: _AnyIncident = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """The last asked first, each with what became of it."""

        def read(conn: Connection, after: Key | None, most: int) -> list[RetrainAnswer]:
            if model is not None and after is None:
                find_model(conn, model)
            found = retrain_rows.listed(
                conn, model=model, version=version, state=state, incident=incident,
                before=after[0] if after else None, limit=most,
            )  # fmt: skip
            return [answer_of(one) for one in found]

        listing = Listing(RetrainAnswer, read, lambda row: (row.id,), (int,), lambda row: row)
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.get(
        "/retrains/{id}", dependencies=[Depends(only_known)],
        **openapi.told(RetrainAnswer, "Get one request for a retraining", 404),
    )  # fmt: skip
    def retrain(request: Request, id: _Number) -> Response:
        """With what became of it."""

        def read(conn: Connection) -> RetrainAnswer:
            found = retrain_rows.find(conn, id)
            if found is None:
                raise NoSuch("retraining request", str(id))
            return answer_of(found)

        return answering.one(request, read, by_content=True)

    @routes.post(
        "/retrains/{id}", summary="Report about a training", responses={**_WRITTEN, **_OVER}
    )
    def report_retrain(id: _Number, asked: ReportBody) -> RetrainAnswer:
        """What a trainer says: running (as often as it likes), then succeeded or failed.

        Each word gives it time again. The same word again changes nothing. After `succeeded` the
        request waits for its new version to be registered and to take over.
        """
        with transaction(engine) as conn:
            before = retrain_rows.find(conn, id)
            try:
                after = retrains.report(
                    conn, id, asked.state, actor=actor, now_ms=clock.now_ms(),
                    words=asked.message, version=asked.version, run_url=asked.run_url,
                )  # fmt: skip
            except retrains.NoSuchRetrain:
                raise NoSuch("retraining request", str(id)) from None
            except Conflict as error:
                raise Problem(
                    409, "The report comes too late", str(error),
                    mend="GET /api/v1/retrains/{id} says how it stands; where another training is "
                    "wanted, POST /api/v1/models/{model}/retrains",
                ) from None  # fmt: skip
            if before is None or len(after.events) > len(before.events):
                _note(conn, "retrain.report", str(id), **asked.model_dump(exclude_none=True))
            elif after.events != before.events:  # one of many words, in the place of the last
                registry.bump_data_version(conn)
            return answer_of(after)

    def _note(conn: Connection, action: str, subject: str, **detail: object) -> None:
        models.note(
            conn, actor=actor, action=action, subject=subject, now_ms=clock.now_ms(), **detail
        )
        registry.bump_data_version(conn)

    return routes


def answer_of(one: Retrain) -> RetrainAnswer:
    """Return a request as the API says it."""
    return RetrainAnswer.model_validate(one)


def _standing(conn: Connection, model: str) -> Standing:
    found = retraining_policies.policy_of(conn, model)
    if found is None:
        raise Problem(
            404, "The model has no retraining policy",
            f"Nothing says when {model[:200]!r} is retrained, and by what.",
            mend=f"`{NAME} retrain policy {model[:200]} --trainer NAME` sets one, as does "
            "PUT /api/v1/models/{model}/retraining with a trainer",
        )  # fmt: skip
    return found


def _policy(standing: Standing) -> PolicyAnswer:
    trainer = standing.trainer
    said: dict[str, Any] = {
        **asdict(standing.policy),
        "model": standing.model,
        "trainer": None if trainer is None else trainer.name,
        "kind": None if trainer is None else trainer.kind,
        "updated_ms": standing.updated_ms,
    }
    return PolicyAnswer.model_validate(said)
