"""Writing silences: `POST /api/v1/silences` and what is done to one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Body, Path
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict
from monitor.api import openapi
from monitor.api.answers.handled import (
    EndBody,
    PreviewAnswer,
    SilenceAnswer,
    SilenceBody,
    UntilBody,
)
from monitor.api.parameters import MAX_INT, to_ms
from monitor.api.problems import Problem
from monitor.api.reading.finding import check_names, find_model, find_version
from monitor.api.reading.handled import TAG, silence_answer
from monitor.clock import Clock
from monitor.detect.silencing import MATCHED, Matcher, Silence
from monitor.storage import models, registry
from monitor.storage import silences as store
from monitor.storage.engine import reading, transaction
from monitor.views.scope import NoSuch
from monitor.windows.calendar import DAY_MS

# What is to be quiet for longer is no silence: archive the model, or judge it otherwise.
AT_MOST_MS: Final = 366 * DAY_MS

SilenceNumber = Annotated[int, Path(description="A silence's number", examples=[3])]
_WRITTEN: Final = {**openapi.problems(403, 404, 421, 422, 503), **openapi.unreadable()}
_COVERED: Final = openapi.described(
    409,
    "Another silence means all of it already, or it is over",
    "Nothing would change",
    "silence 2 holds all of this back already, and as long",
    "let that one last longer, or end it first",
)


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes; `actor` is who the audit names."""
    routes = APIRouter(prefix="/api/v1/silences", tags=[TAG])

    @routes.post(
        "",
        status_code=201,
        summary="Be silent about some incidents",
        responses={**_WRITTEN, **_COVERED},
    )
    def add_silence(asked: SilenceBody) -> SilenceAnswer:
        """Tell nobody of what matches until it is over.

        Incidents open and end as ever, and pages show them. What still stands when the silence
        is over is told then; the end of what was told before is told at once.
        """
        now_ms = clock.now_ms()
        matcher = _matcher(asked)
        from_ms, until_ms = _times(asked, now_ms)
        with transaction(engine) as conn:
            _check(conn, matcher)
            try:
                made = store.add(
                    conn,
                    matcher,
                    from_ms=from_ms,
                    until_ms=until_ms,
                    reason=asked.reason,
                    by=asked.by or actor,
                    now_ms=now_ms,
                )
            except Conflict as error:
                raise Problem(
                    409,
                    "Nothing would change",
                    str(error),
                    mend="let that one last longer, or end it first",
                ) from None
            _note(
                conn,
                "silence.add",
                made.number,
                now_ms,
                by=made.by,
                until_ms=until_ms,
                **matcher.given(),
            )
        return silence_answer(made, now_ms)

    @routes.post("/preview", summary="Tell what a silence would hold back", responses=_WRITTEN)
    def preview_silence(asked: SilenceBody) -> PreviewAnswer:
        """Change nothing."""
        now_ms = clock.now_ms()
        matcher = _matcher(asked)
        from_ms, until_ms = _times(asked, now_ms)
        with reading(engine) as conn:
            _check(conn, matcher)
            found = store.preview(conn, matcher, from_ms=from_ms, until_ms=until_ms, now_ms=now_ms)
        return PreviewAnswer(
            firing=list(found.firing),
            past=list(found.past),
            overlapping=[other.number for other in found.overlapping],
        )

    @routes.post("/{number}/end", summary="End a silence now", responses={**_WRITTEN, **_COVERED})
    def end_silence(
        number: SilenceNumber, asked: Annotated[EndBody | None, Body()] = None
    ) -> SilenceAnswer:
        """What still stands is told at the evaluator's next look. Again changes nothing."""
        by, now_ms = (asked or EndBody()).by or actor, clock.now_ms()
        with transaction(engine) as conn:
            _found(conn, number)
            if store.end(conn, number, by=by, now_ms=now_ms):
                _note(conn, "silence.end", number, now_ms, by=by)
            return silence_answer(_found(conn, number), now_ms)

    @routes.post(
        "/{number}/until",
        summary="Let a silence last until another time",
        responses={**_WRITTEN, **_COVERED},
    )
    def set_silence_until(number: SilenceNumber, asked: UntilBody) -> SilenceAnswer:
        """Longer or shorter; one that is over stays so."""
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            before = _found(conn, number)
            until_ms = _until(asked.until, max(now_ms, before.from_ms), now_ms)
            if not store.set_until(conn, number, until_ms, now_ms=now_ms):
                raise Problem(
                    409,
                    "The silence is over",
                    f"silence {number} does not last any more",
                    mend="make another one",
                )
            _note(conn, "silence.until", number, now_ms, by=asked.by or actor, until_ms=until_ms)
            return silence_answer(_found(conn, number), now_ms)

    def _note(conn: Connection, action: str, number: int, now_ms: int, **detail: object) -> None:
        models.note(conn, actor=actor, action=action, subject=str(number), now_ms=now_ms, **detail)
        registry.bump_data_version(conn)

    return routes


def _matcher(asked: SilenceBody) -> Matcher:
    matcher = Matcher(*(getattr(asked, name) for name in MATCHED))
    if not matcher.given().keys() - {"severity"} and not asked.all:
        raise Problem(
            422,
            "Nothing says what is to be silent",
            "Give a model, a version, a segment, a feature or a kind, or all.",
            mend='{"model": "flight-delay", "for_s": 7200}, or {"all": true, ...}',
        )
    return matcher


def _times(asked: SilenceBody, now_ms: int) -> tuple[int, int]:
    from_ms = max(to_ms(asked.start) or now_ms, now_ms)
    if (asked.until is None) == (asked.for_s is None):
        raise Problem(
            422,
            "A silence needs an end",
            "Give `until`, or `for_s`: for how many seconds. One of them.",
            mend='{"for_s": 7200} is two hours',
        )
    if asked.for_s is not None:
        until_ms = from_ms + asked.for_s * 1_000
        return from_ms, _checked_until(until_ms, from_ms, now_ms)
    assert asked.until is not None
    return from_ms, _until(asked.until, from_ms, now_ms)


def _until(until: datetime, from_ms: int, now_ms: int) -> int:
    return _checked_until(to_ms(until) or 0, from_ms, now_ms)


def _checked_until(until_ms: int, from_ms: int, now_ms: int) -> int:
    if until_ms <= from_ms:
        raise Problem(
            422,
            "The silence would be over before it begins",
            "Its end lies before its start, or in the past.",
            mend="give an end that is to come",
        )
    if until_ms - now_ms > AT_MOST_MS:
        raise Problem(
            422,
            "The silence is too long",
            "It would last for more than a year.",
            mend="archive the model, or change how it is judged: "
            "PUT /api/v1/models/{model}/monitor",
        )
    return until_ms


def _check(conn: Connection, matcher: Matcher) -> None:
    """Refuse names that nothing has: a typing error would silence nothing, and nobody noticed."""
    if matcher.model is None:
        return
    owner = find_model(conn, matcher.model)
    versions = owner.versions
    if matcher.version is not None:
        versions = (find_version(conn, matcher.model, matcher.version),)
    check_names(conn, versions, segment=matcher.segment, feature=matcher.feature)


def _found(conn: Connection, number: int) -> Silence:
    found = store.silences(conn, only=number) if 0 < number <= MAX_INT else []
    if not found:
        raise NoSuch("silence", str(number)[:40])
    return found[0]
