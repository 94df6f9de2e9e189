"""Dead letters, written to the topic again as new records, and consumers that stopped by them.

The new record is the old one's bytes with headers that say where they came from. Each is taken
before it is sent (see `monitor.storage.letters`), so that the same request made twice sends once.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from fastapi import APIRouter
from sqlalchemy.engine import Engine

from driftline.delivering import Delivery, Placed
from driftline.errors import BrokerUnavailable
from driftline.producer import Record
from monitor.api import openapi
from monitor.api.answers.letters import ReplayAnswer, ReplayBody, SentAnswer
from monitor.api.answers.streams import AcceptedStops, StopAnswer
from monitor.api.cursors import decode, encode
from monitor.api.parameters import Topic, span
from monitor.api.problems import Problem
from monitor.api.reading.streams import TAG, key_of
from monitor.clock import Clock
from monitor.storage import breakers, models
from monitor.storage import letters as store
from monitor.storage.engine import reading, transaction
from monitor.storage.letters import Selection, Verdict
from monitor.storage.rows import DeadLetter
from monitor.views.scope import NoSuch

# Headers of the new record: the letter's id, where its record lay, and why it was refused.
LETTER_HEADER: Final = "driftline-dead-letter"
ORIGIN_HEADER: Final = "driftline-origin"
REASON_HEADER: Final = "driftline-reason"
_WRITTEN: Final = {**openapi.problems(403, 404, 421, 422, 503), **openapi.unreadable()}


def router(engine: Engine, clock: Clock, delivery: Delivery | None, *, actor: str) -> APIRouter:
    """Return the route; `actor` is who the audit names, `delivery` what writes."""
    routes = APIRouter(prefix="/api/v1", tags=[TAG])

    @routes.post("/dead-letters/replay", summary="Send dead letters again", responses=_WRITTEN)
    def replay_dead_letters(asked: ReplayBody) -> ReplayAnswer:
        """Write them to the topic as new records, each at most once; 500 at a time.

        Only what was kept whole is sent, as it came. What fails again becomes a new dead letter.
        """
        wanted = _selection(asked)
        after = decode(asked.cursor, (int,) * 4)
        if delivery is None:
            raise Problem(
                503, "This server has no broker",
                "It was started without the address of one; nothing was sent.",
                mend="start it with kafka.bootstrap set",
            )  # fmt: skip
        place = None if after is None else (after[0], after[1], after[2], after[3])
        with reading(engine) as conn:
            found, last = store.scan(conn, wanted, after=place, limit=asked.limit)
        if asked.ids and place is None:
            missing = set(wanted.keys) - {letter.key for letter in found}
            if missing and len(asked.ids) <= asked.limit and not _has_more(asked):
                raise NoSuch("dead letter", "-".join(map(str, min(missing))))
        refused: Counter[str] = Counter()
        sendable = []
        now_ms = clock.now_ms()
        for letter in found:
            verdict = _verdict(letter, delivery.topic, now_ms, in_doubt=asked.in_doubt)
            if verdict == Verdict.POSSIBLE:
                sendable.append(letter)
            else:
                refused[verdict] += 1
        answer = ReplayAnswer(
            topic=delivery.topic, selected=len(found), sent=len(sendable), refused={},
            letters=[], is_dry_run=asked.dry_run, next=None if last is None else encode(last),
        )  # fmt: skip
        if not asked.dry_run and sendable:
            answer.letters = _send(engine, delivery, sendable, refused, now_ms, actor)
            answer.sent = len(answer.letters)
        answer.refused = dict(sorted(refused.items()))
        return answer

    @routes.post(
        "/dead-letters/accept", summary="Let stopped consumers go on",
        responses=openapi.problems(403, 421, 422, 503),
    )  # fmt: skip
    def accept_dead_letters(topic: Topic = None) -> AcceptedStops:
        """Let go by, as dead letters, what stopped the consumers of a topic, or of every topic.

        Until most can be read again; the next flood stops them again. A consumer that ended is
        started by whoever runs it. Where none has stopped nothing changes.
        """
        with transaction(engine) as conn:
            found = breakers.accept(conn, actor=actor, now_ms=clock.now_ms(), topic=topic)
        return AcceptedStops(items=[StopAnswer.model_validate(stop) for stop in found])

    return routes


def _selection(asked: ReplayBody) -> Selection:
    first, last = span(asked.from_, asked.to)
    keys = []
    for name in asked.ids or ():
        key = key_of(name)
        if key is None:
            raise NoSuch("dead letter", name)
        keys.append(key)
    if not (asked.all or keys or _has_more(asked)):
        raise Problem(
            422, "Nothing says which dead letters",
            "Give ids, a reason, a topic, a model or a time, or all.",
            mend='{"reason": "time_in_future"}, or {"all": true}',
        )  # fmt: skip
    return Selection(tuple(keys), asked.reason, asked.topic, asked.model, first, last)


def _has_more(asked: ReplayBody) -> bool:
    """Whether it is asked by more than ids."""
    given = (asked.reason, asked.topic, asked.model, asked.from_, asked.to)
    return any(value is not None for value in given)


def _verdict(letter: DeadLetter, topic: str, now_ms: int, *, in_doubt: bool) -> str:
    found = store.verdict(letter)
    if found == Verdict.IN_DOUBT and in_doubt:
        # Somebody may be at it.
        if now_ms - (letter.replay_ms or 0) < store.BEING_SENT_MS:
            return Verdict.IN_DOUBT
        found = store.wholeness(letter)
    if found == Verdict.POSSIBLE and letter.topic != topic:
        return "other_topic"
    return found


def _send(
    engine: Engine,
    delivery: Delivery,
    letters: list[DeadLetter],
    refused: Counter[str],
    now_ms: int,
    actor: str,
) -> list[SentAnswer]:
    """Take, send, note; count what was not sent among the refused.

    Raises
    ------
    Problem
        The broker cannot be reached: says how many are in doubt.
    """
    try:
        delivery.connect()
        with transaction(engine) as conn:
            taken = store.take(conn, letters, now_ms)
        refused[Verdict.SENT] += len(letters) - len(taken)
        try:
            outcomes = delivery.deliver_each([_record(letter) for letter in taken])
        except BrokerUnavailable:
            with transaction(engine) as conn:
                store.give_back(conn, taken, now_ms)
            raise
    except BrokerUnavailable as error:
        raise Problem(
            503, "The broker cannot be reached now", f"{error}. Nothing was sent.",
            mend="try again in a moment",
        ) from None  # fmt: skip
    sent, doubts, why = [], 0, ""
    with transaction(engine) as conn:
        for letter, outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, Placed):
                store.note_sent(conn, letter, outcome.partition, outcome.offset)
                sent.append(SentAnswer(
                    id=name_of(letter), partition=outcome.partition, offset=outcome.offset
                ))  # fmt: skip
            elif isinstance(outcome, BrokerUnavailable):
                doubts, why = doubts + 1, str(outcome)
            else:
                store.give_back(conn, [letter], now_ms)
                refused["not_written"] += 1
                why = why or str(outcome)
        models.note(
            conn, actor=actor, action="dead_letter.replay", subject=delivery.topic,
            now_ms=now_ms, sent=len(sent), in_doubt=doubts,
        )  # fmt: skip
    refused += Counter()  # without those that are none
    if doubts or (refused["not_written"] and not sent):
        raise Problem(
            503, "The broker did not take every record",
            f"{why}. {len(sent)} were sent; of {doubts} nobody knows whether they arrived.",
            mend="ask again for the rest; those in doubt are sent again only where you say so",
        )  # fmt: skip
    return sent


def name_of(letter: DeadLetter) -> str:
    """Return a letter's `id`."""
    return "-".join(map(str, letter.key))


def _record(letter: DeadLetter) -> Record:
    assert letter.payload is not None
    origin = f"{letter.topic}/{letter.partition}/{letter.offset}/{letter.line}"
    return Record(
        letter.payload, 1, letter.form == "arrow",
        (
            (LETTER_HEADER, name_of(letter).encode()),
            (ORIGIN_HEADER, origin.encode()),
            (REASON_HEADER, letter.reason.encode()),
        ),
    )  # fmt: skip
