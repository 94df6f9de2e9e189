"""From what became of incidents to messages: read what is known, decide, write the outbox.

Called in the transaction that moves the evaluator's cursor and writes the incidents, so
that an incident and what is said of it stand or fall together. Without endpoints it
decides all the same: one that is added later is not sent the past.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection, Engine

from monitor.detect.alerts import alert_id_of, decide
from monitor.detect.groups import TOGETHER_MS
from monitor.detect.knowledge import IncidentNow, Knowledge, Moment
from monitor.detect.silencing import silenced
from monitor.storage import alerts as sql
from monitor.storage import evaluation, reminders
from monitor.storage import silences as silences_store
from monitor.storage.engine import reading, transaction
from monitor.storage.registry import BoundVersion, bump_data_version
from monitor.storage.telling import tell

# How often it is looked further back for the first of a group: each time by days or weeks.
STEPS_BACK = 4


class AlertBook:
    """Keeps what receivers know of one version equal to what is true of it."""

    def __init__(self, conn: Connection, bound: BoundVersion, moment: Moment, web_url: str) -> None:
        self._conn = conn
        self._bound = bound
        self._silences = silences_store.active(conn, moment.now_ms)
        active = frozenset(silence.number for silence in self._silences)
        self._moment = replace(moment, silences=active)
        self._web_url = web_url

    def update(self, changed: Collection[int]) -> int:
        """Tell what is due, given the numbers of the incidents that changed; return how much.

        Where nothing changed and nothing that waits is due this costs two small reads. What
        was over long ago is never read.
        """
        held = sql.held(self._conn, self._bound.version_id)
        if not changed and not any(self._moment.ends(waits) for waits in held.values()):
            return 0
        concerned = {*changed, *held}
        incidents, stored = self._read(concerned)
        before = Knowledge(
            stored.alerts,
            stored.incidents,
            held,
            sql.warned_ms(self._conn, self._bound.version_id),
        )
        notices, after = decide(
            list(incidents.values()),
            before,
            self._moment,
            id_of=self._id_of,
            concerned=concerned,
            silenced=silenced(
                incidents.values(), self._silences, self._bound.model, self._bound.version
            ),
        )
        sql.store(self._conn, self._bound.version_id, stored.rows, before, after)
        tell(
            self._conn,
            notices,
            model=self._bound.model,
            version=self._bound.version,
            timezone=self._bound.timezone,
            web_url=self._web_url,
            now_ms=self._moment.now_ms,
        )
        return len(notices)

    def _read(
        self, concerned: Collection[int]
    ) -> tuple[dict[int, IncidentNow], sql.StoredKnowledge]:
        """Read the incidents that are concerned, with all that may belong together with them.

        A new one belongs together with what stood while it did, or with an alert that
        tells of that: its other members say which of them was the first. Open alerts are
        read always: what one of them waited for may have been withdrawn.
        """
        version_id = self._bound.version_id
        incidents = sql.incidents(self._conn, concerned)
        stored = sql.known(self._conn, version_id, incidents, ())
        new = [
            incident
            for incident in incidents.values()
            if not (incident.number in stored.incidents or incident.muted or incident.is_withdrawn)
        ]
        if new:
            incidents |= self._near(new)
            ids = {self._id_of(incident) for incident in new}
            stored = sql.known(self._conn, version_id, incidents, ids)
        incidents |= sql.incidents(self._conn, stored.incidents.keys() - incidents.keys())
        return incidents, stored

    def _id_of(self, first: IncidentNow) -> str:
        bound = self._bound
        return alert_id_of(bound.model, bound.version, first, nonce=bound.nonce)

    def _near(self, new: Sequence[IncidentNow]) -> dict[int, IncidentNow]:
        """Read what decides to which group new incidents belong.

        That is what stood while they did. Whether that was the first of a group hangs on
        what opened shortly before it, and so on: each step goes a little further back.
        """
        found: dict[int, IncidentNow] = {}
        from_ms = min(incident.first_window_ms for incident in new)
        since_ms = min(incident.opened_ms for incident in new)
        for _ in range(STEPS_BACK):
            found = sql.standing_since(self._conn, self._bound.version_id, from_ms)
            since_ms = _chain_start(found.values(), since_ms)
            near = [i.first_window_ms for i in found.values() if i.opened_ms >= since_ms]
            if min(near, default=from_ms) >= from_ms:
                break
            from_ms = min(near)
        return found


def _chain_start(incidents: Iterable[IncidentNow], since_ms: int) -> int:
    """Return when the first opened of those that follow each other closely up to `since_ms`."""
    for incident in sorted(incidents, key=lambda i: -i.opened_ms):
        if since_ms - TOGETHER_MS <= incident.opened_ms < since_ms:
            since_ms = incident.opened_ms
    return since_ms


def tell_overdue(
    engine: Engine, bound: BoundVersion, now_ms: int, web_url: str, owner: str
) -> None:
    """Tell what waits for a midnight that may never come (the stream ended, or stands still), or
    for a silence that is over.

    Nothing is written where judging has told it meanwhile, or where another evaluator was
    faster.
    """
    with transaction(engine) as conn:
        if bound.version_id not in sql.versions_overdue(conn, now_ms):
            return
        before = evaluation.cursor(conn, bound.version_id)
        at_ms = before.watermark_ms
        if at_ms is None or not evaluation.move_cursor(
            conn, bound.version_id, before, at_ms, owner
        ):
            return
        AlertBook(conn, bound, Moment(at_ms, now_ms, bound.timezone), web_url).update(())
        bump_data_version(conn)


def remind(engine: Engine, bound: BoundVersion, now_ms: int, web_url: str, owner: str) -> int:
    """Tell again what still stands where a route says so; return how many messages that is.

    Decided where the cursor is moved, so that no evaluator tells anything else meanwhile; to where
    it is already: no event need come.
    """
    with reading(engine) as conn:
        if not reminders.due(conn, bound, now_ms):
            return 0
    with transaction(engine) as conn:
        before = evaluation.cursor(conn, bound.version_id)
        at_ms = before.watermark_ms
        if at_ms is None or not evaluation.move_cursor(
            conn, bound.version_id, before, at_ms, owner
        ):
            return 0
        found = reminders.due(conn, bound, now_ms)
        return reminders.tell(conn, found, bound, web_url=web_url, now_ms=now_ms)
