"""What is watched: models, versions, references, bindings, monitors.

Everything that decides how a record is counted hangs on one number, the
registry's revision. A consumer admits records with the registry of one
revision and its checkpoint checks that this revision still stands.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, InvalidReference
from driftline.events import MAX_NAME
from driftline.layouts import Layouts, Wanted
from driftline.stats.advice import advice
from driftline.stats.evidence import STANDARD
from driftline.stats.reference import Reference, refuse_too_wide
from driftline.stats.rule import Rule
from driftline.wire import is_name, is_output
from monitor.detect.spec import Monitor, MonitorSpec, Revision
from monitor.storage import awaited_promotions, promotions
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.storage.turns import bump_data_version as bump_data_version
from monitor.storage.turns import revision as revision
from monitor.storage.turns import take_turn as take_turn
from monitor.windows.panes import pane_ms_of, pane_start

# Who promotes a version by registering its reference, where nobody says who.
REGISTRATION: Final = "registration"


@dataclass(frozen=True)
class BoundVersion:
    """A model version and the references that judge it, oldest binding first."""

    version_id: int
    model: str
    version: str
    timezone: str
    pane_ms: int
    bindings: tuple[tuple[int, str], ...]  # (effective_from_ms, reference digest)
    nonce: str = ""  # in the ids of its alerts

    def binding_at(self, time_ms: int) -> str | None:
        """Return the digest of the reference that counts events of `time_ms`, if one does.

        The oldest binding reaches back to the beginning of time: events that
        were logged before their reference was made are still judged by it.
        """
        start = pane_start(time_ms, self.pane_ms)
        digest = self.bindings[0][1] if self.bindings else None
        for effective_from_ms, candidate in self.bindings:
            if effective_from_ms <= start:
                digest = candidate
        return digest


# Built once: building a statement takes longer than SQLite takes to run it.
_MODELS: Final = sa.select(t.model).where(t.model.c.archived_ms.is_(None))
_BINDINGS: Final = sa.select(t.binding).order_by(t.binding.c.effective_from_ms)
_VERSIONS: Final = sa.select(t.model_version)
_DIGESTS: Final = sa.select(t.reference.c.digest)
_BODY: Final = sa.select(t.reference.c.body).where(t.reference.c.digest == sa.bindparam("digest"))


class References(Mapping[str, Reference]):
    """References by digest, read from the database once each (they are immutable)."""

    def __init__(self, engine: Engine, digests: frozenset[str]) -> None:
        self._engine = engine
        self._digests = digests
        self._loaded: dict[str, Reference] = {}

    def __getitem__(self, digest: str) -> Reference:
        if digest not in self._loaded:
            if digest not in self._digests:
                raise KeyError(digest)
            with reading(self._engine) as conn:
                body = conn.execute(_BODY, {"digest": digest}).scalar_one()
            self._loaded[digest] = Reference.from_document(zlib.decompress(body))
        return self._loaded[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def keep(self, other: References) -> None:
        """Take over what `other` has read already."""
        for digest, reference in other._loaded.items():
            if digest in self._digests:
                self._loaded[digest] = reference


@dataclass(frozen=True)
class Registry:
    """The registry as it stood at one revision."""

    revision: int
    models: frozenset[str]
    versions: Mapping[tuple[str, str], BoundVersion]
    references: Mapping[str, Reference] = field(repr=False)

    @cached_property
    def layouts(self) -> Layouts:
        """How predictions of these models are usually written; learned while they are read.

        By one thread: a consumer and a replay each load a registry of their own.
        """
        references: dict[str, list[Reference]] = {}
        for bound in self.versions.values():
            references.setdefault(bound.model, []).extend(
                self.references[digest] for _, digest in bound.bindings
            )
        return Layouts(lambda model: _wanted(references.get(model, [])))


def _wanted(references: Sequence[Reference]) -> Wanted | None:
    """What any of a model's references counts."""
    features = [f for reference in references for f in reference.gridset.features]
    dimensions = [name for reference in references for name in reference.dimensions]
    names = dict.fromkeys([*(f.name for f in features if not is_output(f.name)), *dimensions])
    others = {*(f.name for f in features if f.kind != "numeric"), *dimensions}
    return Wanted(tuple(names), frozenset(names.keys() - others)) if references else None


def load(engine: Engine, previous: Registry | None = None) -> Registry:
    """Read the whole registry in one consistent view.

    `previous` lends the references it has decoded already.
    """
    with reading(engine) as conn:
        number = revision(conn)
        if previous is not None and previous.revision == number:
            return previous
        models = {row.id: row for row in conn.execute(_MODELS)}
        bindings: dict[int, list[tuple[int, str]]] = {}
        for row in conn.execute(_BINDINGS):
            bindings.setdefault(row.version_id, []).append(
                (row.effective_from_ms, row.reference_digest)
            )
        versions = {}
        for row in conn.execute(_VERSIONS):
            if row.model_id in models:
                owner = models[row.model_id]
                versions[owner.name, row.name] = BoundVersion(
                    version_id=row.id,
                    model=owner.name,
                    version=row.name,
                    timezone=owner.timezone,
                    pane_ms=pane_ms_of(owner.timezone),
                    bindings=tuple(bindings.get(row.id, ())),
                    nonce=owner.nonce,
                )
        digests = frozenset(conn.execute(_DIGESTS).scalars())
    references = References(engine, digests)
    if previous is not None and isinstance(previous.references, References):
        references.keep(previous.references)
    return Registry(
        revision=number,
        models=frozenset(row.name for row in models.values()),
        versions=versions,
        references=references,
    )


def last_bound(conn: Connection, version_id: int) -> int:
    """Return the revision at which a version got its last reference, -1 where it has none."""
    query = sa.select(sa.func.max(t.binding.c.registry_revision)).where(
        t.binding.c.version_id == version_id
    )
    found = conn.execute(query).scalar()
    return -1 if found is None else int(found)


@dataclass(frozen=True)
class Registered:
    """What registering a reference did; `created` is False where it stood already.

    `warnings` says what to know about it: of its data, and of what it leaves unjudged.
    """

    created: bool
    digest: str
    effective_from_ms: int
    warnings: tuple[str, ...]


def register_reference(
    conn: Connection,
    reference: Reference,
    *,
    model: str,
    version: str,
    now_ms: int,
    effective_from_ms: int | None = None,
    replaces: str | None = None,
    owner: str | None = None,
    description: str | None = None,
    actor: str = REGISTRATION,
) -> Registered:
    """Keep `reference` and bind it to a model version; create model, version and monitor if new.

    The same reference for the same version is accepted again and changes nothing. `replaces`
    promotes the version: from when on the reference counts, or without such a time from now on in
    event time (`monitor.storage.promotions`).

    Raises
    ------
    InvalidReference
        A name is empty, too long or not printable, or the time zone is unknown here.
    Conflict
        The version is bound to another reference and no effective time is
        given; the effective time lies in panes that hold data, or in the pane
        from which another reference counts; or the model has another time zone; or `replaces`
        names no version of the model, or one that cannot be replaced by this one.
    """
    for what, name in (("model", model), ("version", version), ("replaced version", replaces)):
        # An event that bears any other name is a dead letter.
        if name is not None and not is_name(name):
            raise InvalidReference(
                f"the {what}'s name must have 1 to {MAX_NAME} printable characters, "
                f"not {name[:40]!r}"
            )
    try:
        ZoneInfo(reference.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidReference(
            f"unknown time zone {reference.timezone!r}: use an IANA name such as Europe/Berlin"
        ) from None

    refuse_too_wide(reference.gridset, reference.dimensions)
    warnings = (*reference.warnings, *advice(reference, _rule_of(conn, model)))
    take_turn(conn)
    model_id = _model(conn, reference, model, now_ms, owner, description)
    version_id = _version(conn, model_id, version, now_ms, replaces)
    bound = conn.execute(
        sa.select(t.binding)
        .where(t.binding.c.version_id == version_id)
        .order_by(t.binding.c.effective_from_ms.desc())
    ).all()
    pane_ms = pane_ms_of(reference.timezone)
    start_ms = 0 if effective_from_ms is None else pane_start(effective_from_ms, pane_ms)
    for row in bound:
        if row.reference_digest == reference.digest and (
            effective_from_ms is None or row.effective_from_ms == start_ms
        ):
            if replaces is not None:
                _promote(conn, model, version, replaces, effective_from_ms, actor, now_ms)
            return Registered(False, reference.digest, row.effective_from_ms, warnings)
    if bound and effective_from_ms is None:
        raise Conflict(
            f"{model} {version} is bound to reference {bound[0].reference_digest[:12]} already"
        )
    if bound:
        latest = conn.execute(
            sa.select(sa.func.max(t.pane.c.start_ms)).where(t.pane.c.version_id == version_id)
        ).scalar()
        if latest is not None and start_ms <= latest:
            raise Conflict(
                f"{model} {version} has counted events up to {latest + pane_ms} ms already: "
                f"the new reference can count from {latest + pane_ms} ms on"
            )
    for row in bound:
        if row.effective_from_ms == start_ms:
            raise Conflict(
                f"{model} {version} is bound to reference {row.reference_digest[:12]} from "
                f"{_instant(start_ms)} on already: name an effective_from of "
                f"{_instant(start_ms + pane_ms)} or later, or register a new version"
            )

    _store(conn, reference, warnings, now_ms)
    number = revision(conn) + 1
    conn.execute(sa.update(t.registry).where(t.registry.c.id == 1).values(revision=number))
    conn.execute(
        sa.insert(t.binding).values(
            version_id=version_id,
            reference_digest=reference.digest,
            effective_from_ms=start_ms,
            registry_revision=number,
            created_ms=now_ms,
        )
    )
    if replaces is not None:
        _promote(conn, model, version, replaces, effective_from_ms, actor, now_ms)
    for waits in awaited_promotions.waiting(conn, model):
        if waits.version == version:
            promotions.promote(
                conn, model=model, version=version, source=waits.source, actor=waits.actor,
                now_ms=now_ms,
            )  # fmt: skip
    bump_data_version(conn)
    return Registered(True, reference.digest, start_ms, warnings)


def _promote(
    conn: Connection,
    model: str,
    version: str,
    replaces: str,
    effective_ms: int | None,
    actor: str,
    now_ms: int,
) -> None:
    promotions.promote(
        conn, model=model, version=version, replaces=replaces, effective_ms=effective_ms,
        source="registration", actor=actor, now_ms=now_ms,
    )  # fmt: skip


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


def monitor_of(conn: Connection, model_id: int) -> tuple[int, MonitorSpec]:
    """Return the model's latest monitor and its revision."""
    row = conn.execute(
        sa.select(t.monitor.c.revision, t.monitor.c.spec)
        .where(t.monitor.c.model_id == model_id)
        .order_by(t.monitor.c.revision.desc())
        .limit(1)
    ).one()
    return row.revision, MonitorSpec.from_json(row.spec)


def _rule_of(conn: Connection, model: str) -> Rule:
    """Return what a model's windows are judged by; the standard where it is not there yet."""
    query = sa.select(t.model.c.id).where(t.model.c.name == model)
    model_id = conn.execute(query).scalar_one_or_none()
    return STANDARD if model_id is None else monitor_of(conn, int(model_id))[1].rule()


def monitor_history(conn: Connection, version_id: int) -> Monitor:
    """Return all that the monitor of a version's model has been."""
    m, v = t.monitor.c, t.model_version.c
    query = (
        sa.select(m.revision, m.after_by_length, m.spec)
        .join(t.model_version, v.model_id == m.model_id)
        .where(v.id == version_id)
        .order_by(m.revision)
    )
    return Monitor(
        tuple(
            Revision(revision, json.loads(after_by_length), MonitorSpec.from_json(spec))
            for revision, after_by_length, spec in conn.execute(query)
        )
    )


def _model(
    conn: Connection,
    reference: Reference,
    name: str,
    now_ms: int,
    owner: str | None,
    description: str | None,
) -> int:
    row = conn.execute(sa.select(t.model).where(t.model.c.name == name)).one_or_none()
    if row is not None:
        if row.timezone != reference.timezone:
            raise Conflict(
                f"model {name} has the time zone {row.timezone}; "
                f"this reference was built for {reference.timezone}"
            )
        return int(row.id)
    created = conn.execute(
        sa.insert(t.model)
        .values(
            name=name,
            timezone=reference.timezone,
            owner=owner,
            description=description,
            created_ms=now_ms,
            nonce=new_nonce(),
        )
        .returning(t.model.c.id)
    ).scalar_one()
    conn.execute(
        sa.insert(t.monitor).values(
            model_id=created, revision=1, spec=MonitorSpec().to_json(), created_ms=now_ms
        )
    )
    return int(created)


def new_nonce() -> str:
    """Return what no model had before, whatever was deleted and whichever database it was in."""
    return secrets.token_hex(8)


def _version(conn: Connection, model_id: int, name: str, now_ms: int, replaces: str | None) -> int:
    row = conn.execute(
        sa.select(t.model_version.c.id).where(
            t.model_version.c.model_id == model_id, t.model_version.c.name == name
        )
    ).one_or_none()
    if row is not None:
        return int(row.id)
    return int(
        conn.execute(
            sa.insert(t.model_version)
            .values(model_id=model_id, name=name, created_ms=now_ms, replaces=replaces)
            .returning(t.model_version.c.id)
        ).scalar_one()
    )


def _store(conn: Connection, reference: Reference, warnings: tuple[str, ...], now_ms: int) -> None:
    found = conn.execute(
        sa.select(t.reference.c.digest).where(t.reference.c.digest == reference.digest)
    ).one_or_none()
    if found is None:
        conn.execute(
            sa.insert(t.reference).values(
                digest=reference.digest,
                gridset=reference.gridset.digest,
                rows=reference.rows,
                first_ms=reference.first_ms,
                last_ms=reference.last_ms,
                warnings=json.dumps(warnings),
                body=zlib.compress(reference.to_document(), 6),
                created_ms=now_ms,
            )
        )
