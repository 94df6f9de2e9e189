"""`driftline health`: whether one role does its work, for those who restart what does not.

That a process is alive its supervisor knows. This asks what only the program knows: whether
the web server is ready, and for the others their heartbeat and what their work leaves in the
database. It must not need the role's own process to answer, and must not call a role ill for a
fault of another.
"""

from __future__ import annotations

import http.client
import json
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from driftline.errors import DriftlineError, StorageUnavailable
from driftline.program import command
from monitor.cli import options, status
from monitor.clock import SystemClock
from monitor.config import Settings

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# An attempt takes seconds; a message that nobody has tried for so long has no dispatcher.
OVERDUE_MS: Final = 10 * 60 * 1_000
ASK_S: Final = 5.0
# One checkpoint may wait for the database; three in a row do not come.
MISSED_CHECKPOINTS: Final = 3
FRESH_AT_LEAST_S: Final = 30.0


class Role(Enum):
    """The processes of the service."""

    WEB = "web"
    INGEST = "ingest"
    EVALUATE = "evaluate"
    DELIVER = "deliver"


class Unhealthy(DriftlineError):
    """A role does not do its work."""

    def __init__(self, role: Role, why: str) -> None:
        self.role, self.why = role, why
        super().__init__(f"{role.value} is not healthy: {why}")


def health(
    role: Annotated[Role, typer.Argument(help="The process that is asked about.")],
    config: options.ConfigFile = None,
    database: options.Database = None,
    port: options.WebPort = None,
) -> None:
    """Say whether a role of this machine does its work; exit code 1 if it does not.

    `web`: /readyz says so. The others: the database is there, with this release's schema, and
    the role has left a heartbeat lately, on this machine where it ever ran here. `ingest`: a
    partition was looked at lately, too. `evaluate`, `deliver`: work went on within the hour, too.
    `deliver`: no message is overdue, too.
    """
    settings = options.settings(config=config, database=database, port=port)
    if role is Role.WEB:
        _web(settings)
    else:
        _database(role, settings)
    options.echo(f"{role.value} is healthy")


def _web(settings: Settings) -> None:
    """Ask the server on this machine, whatever address it serves.

    Raises
    ------
    Unhealthy
        It does not answer, or is not ready.
    """
    host = settings.text("web.host")
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    asked = http.client.HTTPConnection(host, settings.integer("web.port"), timeout=ASK_S)
    try:
        asked.request("GET", "/readyz")
        answer = asked.getresponse()
        body = answer.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(Role.WEB, f"{host} port {asked.port} does not answer ({error})") from error
    finally:
        asked.close()
    if answer.status != 200:
        try:
            why = str(json.loads(body)["detail"])
        except (ValueError, LookupError, TypeError):
            why = f"/readyz answers {answer.status}"
        raise Unhealthy(Role.WEB, why)


def _database(role: Role, settings: Settings) -> None:
    """Look at what the role's work leaves in the database.

    Raises
    ------
    Unhealthy
        It has not worked lately, or the database is not there.
    SchemaVersionError
        The database is of another release.
    """
    from monitor.storage import engine as storage

    engine = storage.create(options.existing_database(settings))
    try:
        storage.check_schema(engine)
        now_ms = SystemClock().now_ms()
        _beating(role, engine, now_ms)
        if role is Role.INGEST:
            interval_s = settings.number("ingest.checkpoint_interval_s")
            fresh_s = max(FRESH_AT_LEAST_S, MISSED_CHECKPOINTS * interval_s)
            _ingest(engine, now_ms, fresh_s * 1_000)
        elif role is Role.DELIVER:
            _deliver(engine, now_ms)
    except StorageUnavailable as error:
        raise Unhealthy(role, str(error)) from error
    finally:
        engine.dispose()


def _beating(role: Role, engine: Engine, now_ms: int) -> None:
    """Look for a fresh heartbeat: of this machine's, or container's, where there is any.

    Raises
    ------
    Unhealthy
        The role does not run, or does not reach the database.
    """
    from monitor.cli.running import host
    from monitor.storage import engine as storage
    from monitor.storage import heartbeats

    with storage.reading(engine) as conn:
        found = heartbeats.of_role(conn, role.value)
    asked = [beat for beat in found if beat.host == host()] or found
    if not asked:
        raise Unhealthy(role, f"it does not run: start `{command(role.value)}`")
    last = asked[-1]
    if not last.is_alive(now_ms):
        raise Unhealthy(
            role,
            f"it was last seen at {status.instant(last.beat_ms)} ({last.instance}) and has not "
            f"ended in order: start `{command(role.value)}` again, or look at what it says",
        )
    for beat in asked:
        if beat.stands_still(now_ms):
            raise Unhealthy(
                role,
                f"it lives, and its work stands still since {status.instant(beat.moved_ms)} "
                f"({beat.instance}): end it and start `{command(role.value)}` again",
            )


def _ingest(engine: Engine, now_ms: int, fresh_ms: float) -> None:
    from monitor.storage import engine as storage
    from monitor.storage import reads

    # Any partition: a member of a large group may have none of its own.
    with storage.reading(engine) as conn:
        seen = [p.seen_ms for p in reads.positions(conn) if p.seen_ms is not None]
    if not seen:
        raise Unhealthy(Role.INGEST, "no partition has been read yet")
    if now_ms - max(seen) > fresh_ms:
        raise Unhealthy(
            Role.INGEST, f"no partition was looked at since {status.instant(max(seen))}"
        )


def _deliver(engine: Engine, now_ms: int) -> None:
    from monitor.storage import deliveries
    from monitor.storage import engine as storage

    with storage.reading(engine) as conn:
        overdue = deliveries.due(conn, now_ms - OVERDUE_MS)
    if overdue:
        said = "a message is" if len(overdue) == 1 else f"{len(overdue)} or more messages are"
        raise Unhealthy(Role.DELIVER, f"{said} overdue")
