"""What is done to a whole model: archived, taken back, deleted, judged otherwise.

An archived model is counted and judged no longer: its events are "unmonitored" from the
registry's next revision on, its incidents stand on no list, and receivers of its open alerts
are told that they ended. Everything of it stays, so it can be taken back. Only an archived one
can be deleted, piece by piece: no consumer or evaluator waits for it, and one that is cut short
is begun again. What became of each event stays counted, what was sent stays listed,
and who did it stays written.

Functions that take a connection belong inside `engine.transaction`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict
from monitor.detect.spec import MonitorSpec
from monitor.storage import awaited_promotions, evaluation, registry, telling
from monitor.storage import schema as t
from monitor.storage.audit import note as note
from monitor.storage.engine import transaction

# One transaction deletes so many rows: others wait for it no longer than for a checkpoint.
AT_ONCE: Final = 5_000
# Where the pages are unless something else is said.
WEB_URL: Final = "http://127.0.0.1:8050"
# All that hangs on a version and is no incident, largest first.
_OF_VERSION: Final = (
    t.finding, t.finding_day, t.model_window, t.window, t.pane,
    t.pane_day, t.unseen_value, t.latch, t.calibration, t.upload,
    t.takeover,
)  # fmt: skip


@dataclass(frozen=True)
class Changed:
    """What became of a model; `changed` is False where it was so before."""

    changed: bool
    archived_ms: int | None


@dataclass(frozen=True)
class MonitorChange:
    """A model's monitor after it was set; `before` holds what it was, of what changed."""

    revision: int
    spec: MonitorSpec
    before: Mapping[str, Any]


def archive(
    conn: Connection, name: str, *, actor: str, now_ms: int, web_url: str = WEB_URL
) -> Changed | None:
    """Count and judge a model no longer; None where there is none. Again changes nothing.

    Each of its open alerts ends with one message, whose link leads to `web_url`; nothing else of
    it goes out from then on.
    """
    found = _set_archived(conn, name, now_ms)
    if found is None or not found[1].changed:
        return None if found is None else found[1]
    ended = telling.end_alerts(conn, found[0], "archived", now_ms=now_ms, web_url=web_url)
    registry.bump_data_version(conn)  # last, as whoever tells of others
    note(
        conn, actor=actor, action="model.archive", subject=name, now_ms=now_ms,
        alerts_ended=ended.alerts, messages_cancelled=ended.cancelled,
    )  # fmt: skip
    return found[1]


def unarchive(conn: Connection, name: str, *, actor: str, now_ms: int) -> Changed | None:
    """Count and judge an archived model again, from here on; None where there is none.

    What of its incidents still stands is told again.
    """
    found = _set_archived(conn, name, None)
    if found is None or not found[1].changed:
        return None if found is None else found[1]
    telling.tell_again(conn, found[0], now_ms)
    registry.bump_data_version(conn)
    note(conn, actor=actor, action="model.unarchive", subject=name, now_ms=now_ms)
    return found[1]


def _set_archived(
    conn: Connection, name: str, archived_ms: int | None
) -> tuple[int, Changed] | None:
    number = registry.take_turn(conn)
    found = conn.execute(sa.select(t.model).where(t.model.c.name == name)).one_or_none()
    if found is None:
        return None
    if (found.archived_ms is None) == (archived_ms is None):
        return found.id, Changed(False, found.archived_ms)
    conn.execute(sa.update(t.model).where(t.model.c.id == found.id).values(archived_ms=archived_ms))
    conn.execute(sa.update(t.registry).where(t.registry.c.id == 1).values(revision=number + 1))
    return found.id, Changed(True, archived_ms)


def delete(
    engine: Engine, name: str, *, actor: str, now_ms: int, web_url: str = WEB_URL
) -> dict[str, int] | None:
    """Delete an archived model with all that was counted and found of it.

    Messages stay: the last one of each alert is still sent, so that receivers learn of its end.

    Returns
    -------
    dict of int or None
        Rows by table; None where there is no such model.

    Raises
    ------
    Conflict
        The model is not archived.
    """
    deleted: dict[str, int] = {}
    with transaction(engine) as conn:
        registry.take_turn(conn)
        model_id = _archived(conn, name)
        if model_id is None:
            return None
        versions = _versions_of(model_id)
        # Without its cursor no evaluator that still holds the model writes of it again.
        _delete(conn, deleted, t.evaluator_cursor, t.evaluator_cursor.c.version_id.in_(versions))
        # What is told of a model that is taken back half deleted is news under new ids, too.
        this = t.model.c.id == model_id
        conn.execute(sa.update(t.model).where(this).values(nonce=registry.new_nonce()))
        # Archiving has done it, but for one that was archived by an older release.
        ended = telling.end_alerts(conn, model_id, "deleted", now_ms=now_ms, web_url=web_url)
    for table, where in _parts(versions):
        while True:
            with transaction(engine) as conn:
                if _archived(conn, name) != model_id:
                    raise Conflict(f"model {name} was deleted and made again meanwhile")
                if not _delete(conn, deleted, table, where):
                    break
    with transaction(engine) as conn:
        number = registry.take_turn(conn)
        if _archived(conn, name) != model_id:
            return deleted  # another one was faster
        digests = (
            conn.execute(
                sa.select(t.binding.c.reference_digest)
                .distinct()
                .where(t.binding.c.version_id.in_(versions))
            )
            .scalars()
            .all()
        )
        _delete(conn, deleted, t.binding, t.binding.c.version_id.in_(versions))
        still = sa.select(t.binding.c.reference_digest)
        unused = (t.reference.c.digest.in_(digests), t.reference.c.digest.not_in(still))
        _delete(conn, deleted, t.reference, *unused)
        for table in (t.model_version, t.monitor, t.route, t.retraining, t.promotion):
            _delete(conn, deleted, table, table.c.model_id == model_id)
        _delete(conn, deleted, t.model, t.model.c.id == model_id)
        awaited_promotions.drop(conn, name, "removed", now_ms=now_ms)
        conn.execute(sa.update(t.registry).where(t.registry.c.id == 1).values(revision=number + 1))
        registry.bump_data_version(conn)
        note(
            conn, actor=actor, action="model.delete", subject=name, now_ms=now_ms,
            rows={table: count for table, count in deleted.items() if count},
            alerts_ended=ended.alerts, messages_cancelled=ended.cancelled,
        )  # fmt: skip
    return deleted


def _archived(conn: Connection, name: str) -> int | None:
    """Return the id of an archived model; it stays archived until the transaction ends."""
    found = conn.execute(
        sa.select(t.model.c.id, t.model.c.archived_ms)
        .where(t.model.c.name == name)
        .with_for_update(read=True)
    ).one_or_none()
    if found is None:
        return None
    if found.archived_ms is None:
        raise Conflict(f"model {name} is not archived: archive it first")
    return int(found.id)


def _versions_of(model_id: int) -> sa.Select[tuple[int]]:
    return sa.select(t.model_version.c.id).where(t.model_version.c.model_id == model_id)


def _parts(versions: sa.Select[tuple[int]]) -> Iterator[tuple[sa.Table, sa.ColumnElement[bool]]]:
    """What is deleted, in this order: an incident goes after all that names it."""
    for table in _OF_VERSION:
        yield table, table.c.version_id.in_(versions)
    numbers = sa.select(t.incident.c.number).where(t.incident.c.version_id.in_(versions))
    yield t.alert_held, t.alert_held.c.version_id.in_(versions)
    yield t.alert_incident, t.alert_incident.c.incident_number.in_(numbers)
    yield t.alert, t.alert.c.version_id.in_(versions)
    retrains = sa.select(t.retrain.c.id).where(t.retrain.c.version_id.in_(versions))
    yield t.retrain_event, t.retrain_event.c.retrain_id.in_(retrains)
    yield t.retrain_incident, t.retrain_incident.c.retrain_id.in_(retrains)
    yield t.retrain, t.retrain.c.version_id.in_(versions)
    yield t.incident_event, t.incident_event.c.incident_number.in_(numbers)
    yield t.incident_note, t.incident_note.c.incident_number.in_(numbers)
    yield t.incident, t.incident.c.version_id.in_(versions)


def _delete(
    conn: Connection, deleted: dict[str, int], table: sa.Table, *where: sa.ColumnElement[bool]
) -> int:
    key = tuple(table.primary_key.columns)
    some = sa.select(*key).where(*where).limit(AT_ONCE)
    here = sa.tuple_(*key).in_(some) if len(key) > 1 else key[0].in_(some)
    count = conn.execute(sa.delete(table).where(here)).rowcount
    deleted[table.name] = deleted.get(table.name, 0) + count
    return count


def set_monitor(
    conn: Connection,
    name: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    now_ms: int,
    expect_revision: int | None = None,
) -> MonitorChange | None:
    """Judge a model otherwise from the evaluator's next look on; None where there is no model.

    What was judged stays as it is, whatever late events do to it, and so does a setting that
    is not named: limits and profile hold for the windows of a length that end after the last
    judged one of that length.

    Raises
    ------
    Conflict
        Another revision than `expect_revision` is in force.
    """
    registry.take_turn(conn)
    model_id = conn.execute(
        sa.select(t.model.c.id).where(t.model.c.name == name)
    ).scalar_one_or_none()
    if model_id is None:
        return None
    revision, spec = registry.monitor_of(conn, model_id)
    if expect_revision not in (None, revision):
        raise Conflict(f"revision {revision} is in force, not {expect_revision}")
    was = asdict(spec)
    before = {key: was[key] for key, value in changes.items() if getattr(spec, key) != value}
    if not before:
        return MonitorChange(revision, spec, {})
    made = replace(spec, **changes)
    after = asdict(made)
    versions = [int(row.id) for row in conn.execute(_versions_of(model_id))]
    evaluation.hold_cursors(conn, versions)
    conn.execute(
        sa.insert(t.monitor).values(
            model_id=model_id,
            revision=revision + 1,
            spec=made.to_json(),
            created_ms=now_ms,
            after_by_length=json.dumps(evaluation.last_ends(conn, versions)),
        )
    )
    registry.bump_data_version(conn)
    note(
        conn, actor=actor, action="monitor.set", subject=name, now_ms=now_ms,
        revision=revision + 1, before=before, after={key: after[key] for key in before},
    )  # fmt: skip
    return MonitorChange(revision + 1, made, before)
