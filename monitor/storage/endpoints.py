"""Where alerts are sent: the SQL of endpoints.

Secrets stand here as they are, because a signature needs them; nothing above
`monitor.alerts` may hand one out again. A removed endpoint keeps its row, without secrets,
so that what was sent to it can still be told, and its number never means another one.

Who writes messages and who ends an endpoint take turns: no message is written for one that ends
at the same moment, where nobody would cancel it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from monitor.detect.retraining import TRAINS_ONLY
from monitor.masking import masked
from monitor.storage import schema as t
from monitor.storage.engine import take_turns

WEBHOOK: Final = "webhook"
AIRFLOW, DATABRICKS, GITHUB = TRAINS_ONLY

IS_STANDING = t.endpoint.c.removed_ms.is_(None)
IS_ENABLED = sa.and_(IS_STANDING, t.endpoint.c.disabled_ms.is_(None))


@dataclass(frozen=True, slots=True)
class Secret:
    """What signs; `until_ms` is when it stops signing, None while nothing takes over from it."""

    value: str = field(repr=False)
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that alerts are sent to; its secrets newest first.

    Attributes
    ----------
    kind
        webhook, slack, pagerduty, smtp or apprise, or one of `TRAINS_ONLY`: what is sent there, and
        how.
    settings
        What its kind needs beside address and secret.
    failing_since_ms, failures
        Since when, and how often, nothing has arrived; None and 0 after something has.
    """

    id: int
    name: str
    url: str
    secrets: tuple[Secret, ...] = field(repr=False)
    created_ms: int
    disabled_ms: int | None
    disabled_reason: str | None
    kind: str = WEBHOOK
    settings: Mapping[str, Any] = field(default_factory=dict)
    failing_since_ms: int | None = None
    failures: int = 0

    @property
    def is_trainer(self) -> bool:
        """Whether it starts trainings and takes nothing else."""
        return self.kind in TRAINS_ONLY

    @property
    def is_enabled(self) -> bool:
        """Whether messages are sent to it."""
        return self.disabled_ms is None

    def signing(self, now_ms: int) -> tuple[str, ...]:
        """Return the secrets that sign at `now_ms`, newest first."""
        return tuple(s.value for s in self.secrets if s.until_ms is None or s.until_ms > now_ms)


def endpoints(conn: Connection) -> list[Endpoint]:
    """Return the endpoints by name."""
    query = sa.select(t.endpoint).where(IS_STANDING).order_by(t.endpoint.c.name)
    return [endpoint_of(row) for row in conn.execute(query)]


def find(conn: Connection, name: str) -> Endpoint | None:
    """Return the endpoint of that name, if there is one."""
    query = sa.select(t.endpoint).where(IS_STANDING, t.endpoint.c.name == name)
    row = conn.execute(query).one_or_none()
    return None if row is None else endpoint_of(row)


def by_id(conn: Connection, endpoint_id: int) -> Endpoint | None:
    """Return the endpoint of that number; None where it was removed."""
    query = sa.select(t.endpoint).where(IS_STANDING, t.endpoint.c.id == endpoint_id)
    row = conn.execute(query).one_or_none()
    return None if row is None else endpoint_of(row)


def add(
    conn: Connection,
    name: str,
    url: str,
    secret: str | None,
    *,
    now_ms: int,
    kind: str = WEBHOOK,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Endpoint, bool]:
    """Return the endpoint of that name and address, and whether it is new.

    The same name and address again change nothing, not even the secret. Kinds whose address is
    the secret have no other.

    Raises
    ------
    Conflict
        The name belongs to another address, kind or setting.
    """
    wanted = dict(settings or {})
    try:
        with conn.begin_nested():
            conn.execute(
                sa.insert(t.endpoint).values(
                    name=name,
                    url=url,
                    secrets=_as_json([] if secret is None else [Secret(secret)]),
                    created_ms=now_ms,
                    kind=kind,
                    settings=json.dumps(wanted, sort_keys=True),
                )
            )
    except sa.exc.IntegrityError:
        standing = find(conn, name)
        if standing is None:
            raise
        if standing.url == url and (standing.kind, standing.settings) != (kind, wanted):
            raise Conflict(
                f"endpoint {name} is of kind {standing.kind} already, with other settings: take "
                "another name, or remove it first"
            ) from None
        if standing.url != url:
            raise Conflict(
                f"endpoint {name} sends to {masked(standing.url)} already: take another name, "
                "or remove it first"
            ) from None
        return standing, False
    made = find(conn, name)
    assert made is not None
    return made, True


def rotate(
    conn: Connection, endpoint: Endpoint, secret: str, *, now_ms: int, until_ms: int
) -> Endpoint:
    """Let `secret` sign from now on, and the one before it until `until_ms`, too."""
    # Two at most: a header that grows with every rotation would not be read any more.
    before = [Secret(s.value, until_ms) for s in endpoint.secrets[:1] if s.value != secret]
    secrets = (Secret(secret), *before)
    _set(conn, endpoint.id, secrets=_as_json(secrets))
    return _again(conn, endpoint)


def disable(conn: Connection, endpoint_id: int, reason: str, *, now_ms: int) -> bool:
    """Send nothing to it any more; False when it was disabled before."""
    take_turns(conn, "tell")
    done = conn.execute(
        sa.update(t.endpoint)
        .where(t.endpoint.c.id == endpoint_id, IS_ENABLED)
        .values(disabled_ms=now_ms, disabled_reason=reason)
    )
    return done.rowcount == 1


def enable(conn: Connection, endpoint_id: int) -> None:
    """Send to it again: from now on, and what has waited. What it failed before is forgiven."""
    _set(
        conn, endpoint_id, disabled_ms=None, disabled_reason=None, failing_since_ms=None, failures=0
    )


def remove(conn: Connection, endpoint_id: int, *, now_ms: int) -> int:
    """Forget its secrets and cancel what waits for it; return how many messages that was.

    What was sent stays told, and what is being sent at this moment, if it arrives.
    """
    take_turns(conn, "tell")
    _set(conn, endpoint_id, removed_ms=now_ms, secrets="[]")
    done = conn.execute(
        sa.update(t.outbox)
        .where(t.outbox.c.endpoint_id == endpoint_id, t.outbox.c.state == "pending")
        .values(state="cancelled", finished_ms=now_ms, leased_by=None, lease_until_ms=None)
    )
    return done.rowcount


def _set(conn: Connection, endpoint_id: int, **values: Any) -> None:
    conn.execute(
        sa.update(t.endpoint).where(t.endpoint.c.id == endpoint_id, IS_STANDING).values(**values)
    )


def _again(conn: Connection, endpoint: Endpoint) -> Endpoint:
    query = sa.select(t.endpoint).where(t.endpoint.c.id == endpoint.id)
    return endpoint_of(conn.execute(query).one())


def endpoint_of(row: sa.Row[Any]) -> Endpoint:
    """Return a whole row of the table as an endpoint."""
    return Endpoint(
        id=row.id,
        name=row.name,
        url=row.url,
        secrets=tuple(Secret(s["secret"], s["until_ms"]) for s in json.loads(row.secrets)),
        created_ms=row.created_ms,
        disabled_ms=row.disabled_ms,
        disabled_reason=row.disabled_reason,
        kind=row.kind,
        settings=json.loads(row.settings),
        failing_since_ms=row.failing_since_ms,
        failures=row.failures,
    )


def _as_json(secrets: Iterable[Secret]) -> str:
    return json.dumps([{"secret": s.value, "until_ms": s.until_ms} for s in secrets])
