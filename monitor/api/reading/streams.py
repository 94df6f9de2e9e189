"""Partitions, gaps, deficits, dead letters, status: what became of every record."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.engine import Connection

from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.streams import (
    DeadLetterAnswer,
    DeadLetterDetail,
    DeficitAnswer,
    DoingAnswer,
    GapAnswer,
    HealthAnswer,
    PipelineAnswer,
    PositionAnswer,
    StatusAnswer,
    StopAnswer,
    TallyAnswer,
    UnderWayAnswer,
)
from monitor.api.cursors import Key
from monitor.api.parameters import MAX_INT, Cursor, Format, Limit, Reason, Topic
from monitor.clock import Clock
from monitor.storage import breakers, lanes, reads
from monitor.storage.letters import verdict
from monitor.storage.rows import OPEN_STATES, DeadLetter, Deficit, Gap, Position
from monitor.views import pipeline as views
from monitor.views.episodes import standing_groups
from monitor.views.scope import NoSuch

TAG = "records"
# Stream, partition, offset, line.
LETTER_ID = re.compile(r"(\d{1,19})-(\d{1,19})-(\d{1,19})-(\d{1,19})", re.ASCII)

LetterId = Annotated[
    str,
    Path(
        max_length=100,
        description="A dead letter's `id`: stream, partition, offset and line",
        examples=["1-1-40-0"],
    ),
]


def add(
    routes: APIRouter, answering: Answering, clock: Clock, checkpoint_interval_s: float
) -> None:
    """Add the routes."""

    @routes.get(
        "/partitions", tags=[TAG],
        **openapi.told(Page[PositionAnswer], "List how far partitions are counted"),
    )  # fmt: skip
    def partitions(
        request: Request, topic: Topic = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """Of the topics that are being read, by topic and number."""

        def key(row: Position) -> tuple[Any, ...]:
            return (row.topic, row.stream_id, row.partition)

        listing = Listing(
            PositionAnswer,
            whole(lambda conn: reads.positions(conn, topic=topic), key),
            key,
            (str, int, int),
            PositionAnswer.model_validate,
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, default=1_000, has_streams=True
        )

    @routes.get(
        "/pipeline", tags=[TAG],
        **openapi.told(PipelineAnswer, "See whether everything is counted, and how late"),
    )  # fmt: skip
    def pipeline(request: Request, topic: Topic = None) -> Response:
        """What each partition is doing by the wall clock, and what could not be counted."""

        def read(conn: Connection) -> PipelineAnswer:
            found = views.read(
                conn, now_ms=clock.now_ms(), checkpoint_interval_s=checkpoint_interval_s,
                topic=topic, n_letters=1,
            )  # fmt: skip
            return _pipeline(found)

        return answering.one(request, read, by_content=True)

    @routes.get("/gaps", tags=[TAG], **openapi.told(Page[GapAnswer], "List lost records"))
    def gaps(
        request: Request, topic: Topic = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """What was gone before it could be read, the newest first."""

        def key(row: Gap) -> tuple[Any, ...]:
            return (-row.created_ms, row.topic, row.partition, row.kind, row.from_offset)

        listing = Listing(
            GapAnswer,
            whole(lambda conn: reads.gaps(conn, topic=topic), key),
            key,
            (int, str, int, str, int),
            GapAnswer.model_validate,
        )
        return answering.page(request, listing, limit=limit, cursor=cursor, has_streams=True)

    @routes.get(
        "/deficits", tags=[TAG],
        **openapi.told(Page[DeficitAnswer], "List records that came before their reference"),
    )  # fmt: skip
    def deficits(
        request: Request, topic: Topic = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """By model and version, the most records first."""

        def key(row: Deficit) -> tuple[Any, ...]:
            return (-row.records, row.model, row.version)

        listing = Listing(
            DeficitAnswer,
            whole(lambda conn: reads.deficits(conn, topic=topic), key),
            key,
            (int, str, str),
            DeficitAnswer.model_validate,
        )
        return answering.page(request, listing, limit=limit, cursor=cursor, has_streams=True)

    @routes.get(
        "/dead-letters", tags=[TAG],
        **openapi.told(Page[DeadLetterAnswer], "List dead letters", csv=DeadLetterAnswer),
    )  # fmt: skip
    def dead_letters(
        request: Request,
        topic: Topic = None,
        reason: Reason = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """The records that could not be counted and were kept, the newest first."""

        def read(conn: Connection, after: Key | None, most: int) -> list[DeadLetter]:
            before = (after[0], after[1], after[2], after[3], after[4]) if after else None
            return reads.dead_letters(conn, topic=topic, reason=reason, before=before, limit=most)

        listing = Listing(
            DeadLetterAnswer, read, lambda d: d.place, (int,) * 5, _letter(DeadLetterAnswer)
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, format_=format,
            filename=("dead-letters", reason), has_streams=True,
        )  # fmt: skip

    @routes.get(
        "/dead-letters/{id}", tags=[TAG],
        **openapi.told(DeadLetterDetail, "Get one dead letter", 404),
    )  # fmt: skip
    def dead_letter(request: Request, id: LetterId) -> Response:
        """With all that was kept of its record."""

        def read(conn: Connection) -> DeadLetterDetail:
            key = key_of(id)
            found = None if key is None else reads.find_letter(conn, *key)
            if found is None:
                raise NoSuch("dead letter", id)
            head = dict(_letter(DeadLetterAnswer)(found))
            kept = found.payload
            head["payload"] = None if kept is None else kept.decode("utf-8", "replace")
            head["payload_base64"] = None if kept is None else base64.b64encode(kept).decode()
            return DeadLetterDetail.model_construct(**head)

        return answering.one(request, read, has_streams=True)

    @routes.get(
        "/status", tags=["service"], **openapi.told(StatusAnswer, "See where everything stands")
    )
    def status(request: Request) -> Response:
        """What is counted, what is not, and what is wrong."""
        return answering.one(request, _status, has_streams=True)


def key_of(name: str) -> tuple[int, int, int, int] | None:
    """Return what a letter's `id` names; None where it can name none.

    >>> key_of("1-1-40-0"), key_of("1-1-40")
    ((1, 1, 40, 0), None)
    """
    parts = LETTER_ID.fullmatch(name)
    if parts is None:
        return None
    stream_id, partition, offset, line = (int(part) for part in parts.groups())
    # Lines and partitions are 32-bit columns.
    if max(stream_id, offset) > MAX_INT or max(partition, line) >= 1 << 31:
        return None
    return stream_id, partition, offset, line


def _letter(kind: type[DeadLetterAnswer]) -> Any:
    def answer(row: DeadLetter) -> DeadLetterAnswer:
        values = {name: getattr(row, name) for name in row.__slots__}
        name = "-".join(map(str, row.key))
        return kind.model_validate({**values, "id": name, "replay": verdict(row)})

    return answer


def _pipeline(found: views.Pipeline) -> PipelineAnswer:
    return PipelineAnswer.model_validate(
        {
            "topics": list(found.topics),
            "partitions": [
                DoingAnswer.model_construct(
                    **dict(PositionAnswer.model_validate(each.position)),
                    state=str(each.state),
                    behind_ms=each.behind_ms,
                )
                for each in found.partitions
            ],
            "counted": found.counted,
            "dead": found.dead,
            "lag": found.lag,
            "behind_ms": found.behind_ms,
            "outcomes": {
                name: count
                for name, count in found.outcomes.items()
                if not name.startswith(reads.DEAD)
            },
            "reasons": list(found.reasons),
            "gaps": found.lost[0],
            "lost_offsets": found.lost[1],
            "deficits": found.n_deficits,
            "stopped": [StopAnswer.model_validate(stop) for stop in found.stops],
            "replays": [UnderWayAnswer.model_validate(each) for each in found.replays],
        }
    )


def _status(conn: Connection) -> StatusAnswer:
    counts = reads.outcomes(conn)
    open_ones = reads.incidents(conn, states=OPEN_STATES)
    judged = reads.judged(conn)
    return StatusAnswer.model_validate(
        {
            "data_version": reads.data_version(conn),
            "judged_to": reads.watermark_ms(conn),
            "models": [
                HealthAnswer(
                    model=model.name,
                    version=version.name,
                    health=reads.health(
                        [i for i in open_ones if i.version_id == version.id],
                        is_judged=version.id in judged,
                    ),
                )
                for model in reads.models(conn)
                for version in model.versions
            ],
            "incidents_open": len(standing_groups(conn)),
            "counters": {k: n for k, n in counts.items() if not k.startswith(reads.DEAD)},
            "dead_letters": reads.dead_reasons(counts),
            "partitions": [PositionAnswer.model_validate(p) for p in reads.positions(conn)],
            "gaps": [GapAnswer.model_validate(g) for g in reads.gaps(conn)],
            "deficits": [DeficitAnswer.model_validate(d) for d in reads.deficits(conn)],
            "deliveries": TallyAnswer.model_validate(reads.tally(conn)),
            "endpoints_disabled": [name for name, _ in reads.disabled_endpoints(conn)],
            "stopped": [StopAnswer.model_validate(stop) for stop in breakers.standing(conn)],
            "replays": [UnderWayAnswer.model_validate(each) for each in lanes.under_way(conn)],
        }
    )
