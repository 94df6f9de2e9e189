"""Models, versions, references, monitors, features: what was registered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection

from driftline.events import JSON_SCHEMA, PREDICTION, SCORE, SCORES_PREFIX
from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.registered import (
    BoundAnswer,
    FeatureAnswer,
    ListedVersion,
    ModelAnswer,
    MonitorAnswer,
    ReferenceAnswer,
    ReferenceDetail,
    ReferenceDocument,
    UseAnswer,
)
from monitor.api.parameters import (
    AnyModel,
    AVersion,
    Cursor,
    Digest,
    Format,
    Limit,
    Model,
    ModelPath,
    WithArchived,
)
from monitor.api.reading.finding import find_model, find_version
from monitor.detect.spec import MonitorSpec
from monitor.storage import reads
from monitor.storage.reads.listing import MonitorRevision, monitor_revisions
from monitor.storage.rows import OPEN_STATES, ReferenceRow
from monitor.views import reference as references_view
from monitor.views.profiled import FeatureLine

TAG = "registered"


def add(routes: APIRouter, answering: Answering) -> None:
    """Add the routes."""

    @routes.get(
        "/models", tags=[TAG], **openapi.told(Page[ModelAnswer], "List the models", csv=ModelAnswer)
    )
    def models(
        request: Request,
        archived: WithArchived = False,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """By name, each with its versions, the newest first, and their health."""

        def read(conn: Connection) -> list[ModelAnswer]:
            return _models(conn, include_archived=archived)

        listing = Listing(
            kind=ModelAnswer,
            read=whole(read, lambda m: (m.model,)),
            key=lambda m: (m.model,),
            key_kinds=(str,),
            answer=lambda m: m,
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, format_=format, filename=("models",)
        )

    @routes.get(
        "/models/{name:path}", tags=[TAG], **openapi.told(ModelAnswer, "Get one model", 404)
    )
    def model(request: Request, name: ModelPath) -> Response:
        """With its versions and their health; slashes in its name are part of the path."""

        def read(conn: Connection) -> ModelAnswer:
            find_model(conn, name)
            return _models(conn, name)[0]

        return answering.one(request, read)

    @routes.get(
        "/versions", tags=[TAG],
        **openapi.told(Page[ListedVersion], "List model versions", 404, csv=ListedVersion),
    )  # fmt: skip
    def versions(
        request: Request,
        model: AnyModel = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,
    ) -> Response:
        """The newest first, of one model or of all."""

        def read(conn: Connection) -> list[ListedVersion]:
            if model is not None:
                find_model(conn, model)
            return [
                ListedVersion.model_construct(**dict(version), model=owner.model)
                for owner in _models(conn, model)
                for version in owner.versions
            ]

        def key(v: ListedVersion) -> tuple[Any, ...]:
            return (-round(v.created.timestamp() * 1000), v.model, v.version)

        listing = Listing(ListedVersion, whole(read, key), key, (int, str, str), lambda v: v)
        return answering.page(
            request, listing, limit=limit, cursor=cursor, format_=format,
            filename=("versions", model),
        )  # fmt: skip

    @routes.get(
        "/references", tags=[TAG],
        **openapi.told(Page[ReferenceAnswer], "List the references", csv=ReferenceAnswer),
    )  # fmt: skip
    def references(
        request: Request, limit: Limit = None, cursor: Cursor = None, format: Format = None
    ) -> Response:
        """The newest first, each with what it judges."""

        def key(row: ReferenceRow) -> tuple[Any, ...]:
            return (-row.created_ms, row.digest)

        listing = Listing(
            ReferenceAnswer, whole(reads.references, key), key, (int, str), reference_answer
        )
        return answering.page(
            request, listing, limit=limit, cursor=cursor, format_=format, filename=("references",)
        )

    @routes.get(
        "/references/{digest}", tags=[TAG],
        **openapi.told(ReferenceDetail, "Get one reference", 404),
    )  # fmt: skip
    def reference(request: Request, digest: Digest) -> Response:
        """By its digest, or by six or more of its first characters, with all that is known of it.

        Its lineage, what each window length can judge with it, and its features.
        """
        return answering.one(request, lambda conn: _detail(references_view.read(conn, digest)))

    @routes.get(
        "/references/{digest}/document", tags=[TAG],
        **openapi.told(ReferenceDocument, "Get a reference to count with", 404),
    )  # fmt: skip
    def reference_document(request: Request, digest: Digest) -> Response:
        """The document that was registered: bins, counts and slices, its arrays compressed.

        Whoever counts elsewhere counts on its bins; `driftline.spark` does.
        """
        return answering.raw(request, lambda conn: references_view.document(conn, digest))

    @routes.get(
        "/monitors", tags=[TAG],
        **openapi.told(Page[MonitorAnswer], "List how models are judged", 404),
    )  # fmt: skip
    def monitors(
        request: Request, model: AnyModel = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """Every revision, the one in force first; of one model or of all."""

        def read(conn: Connection) -> list[MonitorRevision]:
            owner = None if model is None else find_model(conn, model)
            return monitor_revisions(conn, model_id=None if owner is None else owner.id)

        def key(monitor: MonitorRevision) -> tuple[Any, ...]:
            return (monitor.model, -monitor.revision)

        listing = Listing(MonitorAnswer, whole(read, key), key, (str, int), _monitor)
        return answering.page(request, listing, limit=limit, cursor=cursor)

    @routes.get(
        "/features", tags=[TAG],
        **openapi.told(Page[FeatureAnswer], "List the features of a version", 404),
    )  # fmt: skip
    def features(
        request: Request,
        model: Model,
        version: AVersion = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """In the order of its latest reference; the model's output is among them."""

        def read(conn: Connection) -> list[FeatureAnswer]:
            found = find_version(conn, model, version)
            return _features(conn, found.bindings[-1].reference_digest if found.bindings else "")

        def key(feature: FeatureAnswer) -> tuple[Any, ...]:
            return (feature.place,)

        listing = Listing(FeatureAnswer, whole(read, key), key, (int,), lambda f: f)
        return answering.page(request, listing, limit=limit, cursor=cursor, default=1_000)

    @routes.get(
        "/schemas/event.json", tags=["service"], summary="Get the JSON Schema of an event",
        responses=openapi.problems(400, 421, 422),
    )  # fmt: skip
    def event_schema() -> dict[str, Any]:
        """What a record of the topic must be."""
        return JSON_SCHEMA


def _monitor(row: MonitorRevision) -> MonitorAnswer:
    spec = asdict(MonitorSpec.from_json(row.spec))
    return MonitorAnswer.model_validate({**row._asdict(), **spec, "lengths": list(spec["lengths"])})


def model_answer(conn: Connection, name: str) -> ModelAnswer:
    """Return a model that is there."""
    return _models(conn, name)[0]


def _models(
    conn: Connection, name: str | None = None, *, include_archived: bool = False
) -> list[ModelAnswer]:
    """One that is archived is told when it is asked for by name."""
    judged = reads.judged(conn)
    open_ones = reads.incidents(conn, states=OPEN_STATES)
    answers = []
    for model in reads.models(
        conn, name=name, include_archived=include_archived or name is not None
    ):
        answer = ModelAnswer.model_validate(model)
        for version, row in zip(answer.versions, model.versions, strict=True):
            mine = [i for i in open_ones if i.version_id == row.id]
            version.health = reads.health(mine, is_judged=row.id in judged)
        answers.append(answer)
    return answers


def _features(conn: Connection, digest: str) -> list[FeatureAnswer]:
    reference = reads.reference_document(conn, digest) if digest else None
    if reference is None:
        return []
    return [
        FeatureAnswer(
            place=place,
            feature=grid.name,
            kind=grid.kind,
            is_prediction=grid.name in (PREDICTION, SCORE) or grid.name.startswith(SCORES_PREFIX),
            importance=reference.importance.get(grid.name),
            reference_digest=digest,
        )
        for place, grid in enumerate(reference.gridset.features)
    ]


def reference_answer(row: ReferenceRow) -> ReferenceAnswer:
    """Return what is known of a reference without opening it."""
    bound = [
        BoundAnswer.model_validate({"model": m, "version": v, "effective_from": at_ms})
        for m, v, at_ms in row.bound_to
    ]
    return ReferenceAnswer.model_validate(
        {**{name: getattr(row, name) for name in row.__slots__}, "bound_to": bound}
    )


def _detail(found: references_view.ReferenceView) -> ReferenceDetail:
    uses = [
        UseAnswer.model_validate(
            {
                "model": bound.use.model,
                "version": bound.use.version,
                "effective_from": bound.use.effective_from_ms,
                "until": bound.until_ms,
                "replaced": bound.replaced,
                "replaced_by": bound.replaced_by,
            }
        )
        for bound in found.bindings
    ]
    heirs = [
        {"model": use.model, "version": use.version, "effective_from": use.effective_from_ms}
        for use in found.successors
    ]
    return ReferenceDetail.model_validate(
        {
            **dict(reference_answer(found.row)),
            "timezone": found.outline.timezone,
            "excluded": [{"start": start, "end": end} for start, end in found.excluded],
            "limits_of": None if found.judged is None else found.judged.model,
            "profile": found.rule.profile,
            "uses": uses,
            "replaced_by_versions": heirs,
            "lengths": list(found.lengths),
            "features": [_profiled(line) for line in found.features],
            "segments": list(found.segments),
        }
    )


def _profiled(line: FeatureLine) -> dict[str, Any]:
    same = [
        "name",
        "kind",
        "is_prediction",
        "importance",
        "missing",
        "low",
        "high",
        "n_categories",
        "resolution",
        "resolution_is",
        "fixed",
        "limits",
    ]
    return {
        **{name: getattr(line, name) for name in same},
        "levels": [{"name": name, "share": share} for name, share in line.levels],
    }
