"""History that was counted elsewhere: uploaded in chunks, and counted when it is whole.

Every request may be made twice. What comes is counts, never rows, and none of it is believed:
each pane must be one that this version's events are counted into, on its gridset, and add up.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator
from sqlalchemy.engine import Connection, Engine
from starlette.concurrency import run_in_threadpool

from driftline.errors import Conflict, DecodeError, GridMismatch
from driftline.events import MAX_TIME_MS, MIN_TIME_MS
from driftline.program import NAME
from driftline.stats.believed import fault_of
from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile
from driftline.stats.reference import ALL, OTHER
from monitor.api import openapi
from monitor.api.answering import Answering, Listing, whole
from monitor.api.answers.common import Page
from monitor.api.answers.uploads import CountBody, UploadAnswer, UploadBody
from monitor.api.asking import only_known
from monitor.api.cursors import Key
from monitor.api.parameters import Cursor, Limit, is_storable
from monitor.api.problems import Problem
from monitor.api.reading.finding import find_model, find_version
from monitor.clock import Clock
from monitor.storage import reads, registry, upload_rows, uploads
from monitor.storage import retention as versions
from monitor.storage.checkpoint import RegistryMoved
from monitor.storage.engine import reading, transaction
from monitor.storage.registry import BoundVersion, Registry
from monitor.storage.upload_rows import Upload, instant
from monitor.storage.uploads import DimensionsAt, Pane
from monitor.views.scope import NoSuch, nearest

TAG: Final = "history"
# A chunk: some hundred panes of a hundred features.
MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024
MAX_CHUNK_PANES: Final = 2_000
OCTETS: Final = "application/octet-stream"
# The registry may change so often while an upload is made to count.
TRIES: Final = 5

_Chunk = list[tuple[int, str, bytes]]
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "MessagePack: an array of [start of the pane in epoch ms, segment, counts], "
        "counts as `driftline.stats.profile.Profile.to_bytes` writes them; at most "
        f"{MAX_CHUNK_PANES:,}.",
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_CONFLICT: Final = openapi.described(
    409,
    "It cannot be put beside what is counted",
    "This history cannot be counted",
    "the stream has counted that time of flight-delay 3: 12 panes from 2013-01-31T12:00:00Z to "
    "2013-01-31T23:00:00Z",
    "leave out what was counted already, and upload the rest under another name",
)
_WRITTEN: Final = openapi.problems(403, 404, 421, 422, 503)


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("no name holds half a character")
    return text


Name = Annotated[
    str,
    AfterValidator(_storable),
    Path(
        min_length=1,
        max_length=100,
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="An upload's name",
        examples=["h-5d41402abc4b2a76b9719d911017c592"],
    ),
]
Number = Annotated[
    int, Path(ge=0, le=1_000_000, description="The chunk's place, from 0", examples=[0])
]
AnyModel = Annotated[
    str | None,
    AfterValidator(lambda text: text if text is None else _storable(text)),
    Query(max_length=500, description="Only a model's", examples=["flight-delay"]),
]


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes; `actor` is who the audit names."""
    routes = APIRouter(prefix="/api/v1", tags=[TAG])
    _reading(routes, Answering(engine))
    # A chunk's counts take some hundred megabytes of work, one after the other.
    one_at_a_time = asyncio.Lock()

    @routes.put(
        "/uploads/{name}",
        summary="Begin an upload, or go on with it",
        responses={**_WRITTEN, **openapi.unreadable(), **_CONFLICT},
    )
    def begin_upload(name: Name, asked: UploadBody) -> UploadAnswer:
        """History of one model version, counted on one gridset. The same again changes nothing.

        `chunks` says with which chunk to go on, `digest` what is here. Nothing of it counts
        before it is whole; what nobody goes on with for two days is given up.
        """
        known = registry.load(engine)
        bound = _bound(engine, known, asked.model, asked.version)
        if asked.pane_ms != bound.pane_ms:
            raise Problem(
                422, "Panes of another length", f"They are {asked.pane_ms:,} ms long, and those of "
                f"{bound.model} {bound.timezone}'s {bound.pane_ms:,} ms.",
                mend=f"count by panes of {bound.pane_ms:,} ms",
            )  # fmt: skip
        if asked.gridset not in _grids(known, bound):
            raise Problem(
                409, "This history cannot be counted", f"{bound.model} {bound.version} is not "
                f"counted on the gridset {asked.gridset[:12]}.",
                mend="count it on one of the version's references: GET /api/v1/references has them",
            )  # fmt: skip
        with transaction(engine) as conn:
            try:
                return _answer(uploads.begin(conn, name, bound, asked.gridset, clock.now_ms())[0])
            except Conflict as error:
                raise _conflict(error) from None

    @routes.put(
        "/uploads/{name}/chunks/{number}",
        summary="Send a chunk of an upload",
        openapi_extra=BODY,
        response_model=UploadAnswer,
        responses={**_WRITTEN, **openapi.problems(413, 415), **_CONFLICT},
    )
    async def put_chunk(name: Name, number: Number, request: Request) -> UploadAnswer:
        """Panes and their counts, the chunks in order. One that is here already changes nothing.

        A time that a stream or another upload has counted is refused.
        """
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != OCTETS:
            raise Problem(
                415, "The body must be octets", f"It came as {kind[:80] or 'nothing'}.",
                mend=f"send Content-Type: {OCTETS}",
            )  # fmt: skip
        body = await request.body()
        async with one_at_a_time:
            return await run_in_threadpool(_take, engine, clock, name, number, body)

    @routes.post(
        "/uploads/{name}/count",
        summary="Let an upload count",
        responses={**_WRITTEN, **openapi.unreadable(), **_CONFLICT},
    )
    def count_upload(name: Name, asked: CountBody) -> UploadAnswer:
        """All of it at once, where it is whole and nobody has counted that time; then judged.

        Again changes nothing.
        """
        for _ in range(TRIES):
            known = registry.load(engine)
            try:
                return _answer(_count(engine, known, name, asked, actor, clock.now_ms()))
            except RegistryMoved:
                continue
        raise Problem(
            503, "References are registered all the time", "It could not be compared with them.",
            mend="try again in a moment",
        )  # fmt: skip

    @routes.delete(
        "/uploads/{name}", summary="Remove an upload", responses=_WRITTEN
    )  # fmt: skip
    def remove_upload(name: Name) -> UploadAnswer:
        """Give it up, or take what it counted out again: that time is judged without it."""
        with reading(engine) as conn:
            grids = _gridsets(conn, _known(conn, name))
        with transaction(engine) as conn:
            found = uploads.remove(conn, name, grids, actor=actor, now_ms=clock.now_ms())
        if found is None:
            raise NoSuch("upload", name)
        return _answer(found)

    return routes


def _reading(routes: APIRouter, answering: Answering) -> None:
    @routes.get(
        "/uploads", dependencies=[Depends(only_known)],
        **openapi.told(Page[UploadAnswer], "List the uploads", 404),
    )  # fmt: skip
    def uploads_(
        request: Request, model: AnyModel = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """History that was counted elsewhere, in the order in which it was begun."""

        def read(conn: Connection) -> list[Upload]:
            if model is not None:
                find_model(conn, model)
            return upload_rows.listed(conn, model)

        def key(row: Upload) -> Key:
            return (row.id,)

        listing = Listing(UploadAnswer, whole(read, key), key, (int,), _answer)
        return answering.page(request, listing, limit=limit, cursor=cursor, by_content=True)

    @routes.get(
        "/uploads/{name}", dependencies=[Depends(only_known)],
        **openapi.told(UploadAnswer, "Get one upload", 404),
    )  # fmt: skip
    def upload(request: Request, name: Name) -> Response:
        """How far it is; and how many of its panes a stream has counted since, too."""

        def read(conn: Connection) -> UploadAnswer:
            found = _known(conn, name)
            also = upload_rows.counted_since(conn, found, list(_gridsets(conn, found)))
            return _answer(found).model_copy(update={"also_streamed": also})

        return answering.one(request, read, by_content=True)


def _take(engine: Engine, clock: Clock, name: str, number: int, body: bytes) -> UploadAnswer:
    with reading(engine) as conn:
        before = _known(conn, name)
    if before.counted_ms is not None or before.chunks > number:
        return _answer(before)
    known = registry.load(engine)
    bound = _bound(engine, known, before.model, before.version)
    panes = _believed(body, known, bound, before.gridset, clock.now_ms())
    with transaction(engine) as conn:
        try:
            found = uploads.take(
                conn, name, bound, _grids(known, bound), chunk=number, body=body,
                panes=panes, now_ms=clock.now_ms(),
            )  # fmt: skip
        except Conflict as error:
            raise _conflict(error) from None
    if found is None:
        raise NoSuch("upload", name)
    return _answer(found)


def _believed(
    body: bytes, known: Registry, bound: BoundVersion, gridset: str, now_ms: int
) -> list[Pane]:
    """Read a chunk, believing nothing of it.

    Raises
    ------
    Problem
        A pane of it is none that events of this version are counted into, or does not add up.
    """
    try:
        found = msgspec.msgpack.decode(body, type=_Chunk)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(str(error)) from None
    if len(found) > MAX_CHUNK_PANES:
        raise _invalid(f"It has {len(found):,} panes, and {MAX_CHUNK_PANES:,} are read at once.")
    panes, allowed = [], dict[str, frozenset[str]]()
    for start_ms, segment, counts in found:
        what = f"the pane {start_ms}"
        if not MIN_TIME_MS <= start_ms < MAX_TIME_MS or start_ms % bound.pane_ms:
            raise _invalid(f"{what} begins where no pane of this model does.")
        what = f"the pane of {instant(start_ms)}"
        if start_ms + bound.pane_ms > now_ms:
            raise _invalid(f"{what} is not over yet.")
        digest = bound.binding_at(start_ms)
        reference = None if digest is None else known.references[digest]
        if reference is None or reference.gridset.digest != gridset:
            raise Problem(
                409, "This history cannot be counted", f"{bound.model} {bound.version} is counted "
                f"on another reference at {instant(start_ms)}.",
                mend="upload each stretch of time on the reference that is bound then",
            )  # fmt: skip
        if reference.digest not in allowed:
            named = reference.dimensions.items()
            names = (f"{d}={value}" for d, values in named for value in (*values, OTHER))
            allowed[reference.digest] = frozenset([ALL, *names])
        if segment not in allowed[reference.digest]:
            raise _invalid(f"{what} is of a segment that the reference has not: {segment[:80]!r}.")
        panes.append(Pane(start_ms, segment, *_counted(counts, reference.gridset, segment, what)))
    return panes


def _counted(counts: bytes, gridset: Gridset, segment: str, what: str) -> tuple[int, bytes]:
    """Return the rows of a pane, and its counts as a consumer would have written them."""
    try:
        profile = Profile.from_bytes(gridset, counts)
    except (DecodeError, GridMismatch) as error:
        raise _invalid(f"The counts of {what} cannot be read: {error}.") from None
    if (profile.sums is not None) != (segment == ALL):
        raise _invalid(f"{what} must have sums for {ALL!r}, and for no other segment.")
    if not profile.rows:
        raise _invalid(f"{what} has no rows: leave it out.")
    if fault := fault_of(gridset, profile, what):
        raise _invalid(f"{fault[0].upper()}{fault[1:]}.")
    return profile.rows, profile.to_bytes()


def _count(
    engine: Engine, known: Registry, name: str, asked: CountBody, actor: str, now_ms: int
) -> Upload:
    with reading(engine) as conn:
        before = _known(conn, name)
        bound = known.versions.get((before.model, before.version))
        is_here = (before.chunks, before.digest) == (asked.chunks, asked.digest)
        if before.counted_ms is None and bound is not None and is_here:
            dimensions = DimensionsAt(bound, known.references)
            if said := uploads.lacks(conn, before, dimensions):
                raise _invalid(f"{said[0].upper()}{said[1:]}.")
    try:
        with transaction(engine) as conn:
            found = uploads.count(
                conn, name, known, chunks=asked.chunks, digest=asked.digest, actor=actor,
                now_ms=now_ms,
            )  # fmt: skip
    except Conflict as error:
        raise _conflict(error) from None
    if found is None:
        raise NoSuch("upload", name)
    is_left = found.counted_ms is not None
    while is_left:
        with transaction(engine) as conn:
            is_left = uploads.forget(conn) > 0
    return found


def _bound(engine: Engine, known: Registry, model: str, version: str) -> BoundVersion:
    bound = known.versions.get((model, version))
    if bound is not None and bound.bindings:
        return bound
    with reading(engine) as conn:
        found = find_model(conn, model)
        find_version(conn, model, version)
    if found.archived_ms is not None:
        raise Problem(
            409, "The model is archived", f"Nothing of {model} is counted now.",
            mend=f"`{NAME} model unarchive {model}` first",
        )  # fmt: skip
    raise Problem(
        409, "The version has no reference", f"Nothing of {model} {version} can be counted.",
        mend="register its reference first",
    )  # fmt: skip


def _known(conn: Connection, name: str) -> Upload:
    found = upload_rows.find(conn, name)
    if found is None:
        raise NoSuch("upload", name, nearest(name, (u.name for u in upload_rows.listed(conn))))
    return found


def _grids(known: Registry, bound: BoundVersion) -> frozenset[str]:
    return frozenset(known.references[digest].gridset.digest for _, digest in bound.bindings)


def _gridsets(conn: Connection, upload: Upload) -> dict[str, Gridset]:
    """Return all that an upload's version is or was counted on, archived or not."""
    found = {}
    for digest in versions.digests(conn, upload.version_id):
        reference = reads.reference_document(conn, digest)
        if reference is not None:
            found[reference.gridset.digest] = reference.gridset
    return found


def _answer(upload: Upload) -> UploadAnswer:
    state = "open" if upload.counted_ms is None else "counted"
    return UploadAnswer.model_validate({**vars(upload), "state": state})


def _conflict(error: Conflict) -> Problem:
    return Problem(
        409, "This history cannot be counted", f"{error}.",
        mend="leave out what was counted already, and upload the rest under another name"
        if isinstance(error, upload_rows.Counted)
        else "see GET /api/v1/uploads",
    )  # fmt: skip


def _invalid(said: str) -> Problem:
    return Problem(
        422, "This is no history of this version", said,
        mend="let driftline.spark count it, and driftline.Client upload it",
    )  # fmt: skip
