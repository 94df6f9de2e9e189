"""`driftline status`: where everything stands, read from the database alone.

It works while nothing else runs, and says nothing that is not in SQL.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from driftline.errors import ConfigError
from driftline.program import command
from monitor.cli import options
from monitor.clock import SystemClock
from monitor.config import Settings
from monitor.words import ago, counted

DEMO_DATABASE: Final = "driftline-demo.db"

# A position row that nobody renewed for so many checkpoints has lost its owner.
_FRESH_CHECKPOINTS: Final = 3
# Below this, a missed checkpoint or two says nothing.
_FRESH_AT_LEAST_S: Final = 10.0


@dataclass(frozen=True)
class Status:
    """What the database says, as plain values; instants are RFC 3339."""

    database: str
    watermark: str | None
    counters: dict[str, int]
    dead_letters: dict[str, int]
    partitions: list[dict[str, Any]]
    deficits: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    incidents: list[dict[str, Any]]
    deliveries: dict[str, int]
    endpoints_disabled: list[dict[str, str]]
    models: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[dict[str, Any]] = field(default_factory=list)
    replays: list[dict[str, Any]] = field(default_factory=list)
    service_incidents: list[dict[str, Any]] = field(default_factory=list)


def status(
    config: options.ConfigFile = None,
    database: options.Database = None,
    json_: options.AsJson = False,
) -> None:
    """Show positions, lag, dead letters, how each model is, open incidents and deliveries.

    What is wrong with Driftline's own parts (an endpoint that was switched off, ...) is told with
    what to do about it.
    """
    settings = options.settings(config=config, database=database)
    interval_s = settings.number("ingest.checkpoint_interval_s")
    fresh_s = max(_FRESH_AT_LEAST_S, _FRESH_CHECKPOINTS * interval_s)
    now_ms = SystemClock().now_ms()
    found = read(_database_url(settings), now_ms=now_ms, fresh_s=fresh_s)
    if json_:
        options.echo(json.dumps(found.__dict__))
    else:
        _print(found, now_ms)


def _database_url(settings: Settings) -> str:
    """The database that was named; else the one of `up` or `demo` here that was used last."""
    if settings.source("database.url") != "default":
        return options.existing_database(settings)
    here = [path for path in (Path("driftline.db"), Path(DEMO_DATABASE)) if path.is_file()]
    if not here:
        raise ConfigError(
            "database.url",
            "default",
            "no database here",
            f"start `{command('up')}` or `{command('demo')}` here, or --database URL",
        )

    def used_at(path: Path) -> float:
        log = path.with_name(path.name + "-wal")
        return max(p.stat().st_mtime for p in (path, log) if p.exists())

    return f"sqlite:///{max(here, key=used_at)}"


def read(database_url: str, *, now_ms: int, fresh_s: float) -> Status:
    """The status of one database; a partition that was not seen for `fresh_s` is not read.

    Raises
    ------
    SchemaVersionError
        It is of another release.
    StorageUnavailable
        It cannot be reached.
    """
    from monitor.storage import breakers, lanes, reads
    from monitor.storage import engine as storage
    from monitor.views.episodes import standing_groups
    from monitor.views.overview import overview
    from monitor.views.service import troubles

    engine = storage.create(database_url)
    try:
        storage.check_schema(engine)
        with storage.reading(engine) as conn:
            outcomes = reads.outcomes(conn)
            dead = reads.dead_reasons(outcomes)
            return Status(
                database=engine.url.render_as_string(),
                watermark=instant(reads.watermark_ms(conn)),
                counters={k: n for k, n in outcomes.items() if not k.startswith(reads.DEAD)},
                dead_letters=dead,
                partitions=[
                    {
                        "topic": p.topic,
                        "partition": p.partition,
                        "position": p.next_offset,
                        "lag": p.lag,
                        "max_event_time": instant(p.max_event_time_ms),
                        "caught_up_s": round(p.caught_up_for_ms / 1_000, 1),
                        "is_fresh": p.seen_ms is not None and now_ms - p.seen_ms < fresh_s * 1_000,
                        "seen": instant(p.seen_ms),
                        "owner": p.owner,
                    }
                    for p in reads.positions(conn)
                ],
                deficits=[
                    {
                        "model": d.model,
                        "version": d.version,
                        "records": d.records,
                        "first": instant(d.first_ms),
                        "last": instant(d.last_ms),
                    }
                    for d in reads.deficits(conn)
                ],
                gaps=[
                    {
                        "topic": g.topic,
                        "partition": g.partition,
                        "kind": g.kind,
                        "from_offset": g.from_offset,
                        "to_offset": g.to_offset,
                    }
                    for g in reads.gaps(conn)
                ],
                incidents=[
                    {
                        "id": one.number,
                        "model": one.model,
                        "version": one.version,
                        "severity": one.severity,
                        "opened_at": instant(one.opened_ms),
                        "features": list(one.features),
                        "segments": list(one.segments),
                        "kinds": list(one.kinds),
                        "members": [member.number for member in one.members],
                        "summary": one.worst.summary,
                    }
                    for one in standing_groups(conn)
                ],
                deliveries=asdict(reads.tally(conn)),
                endpoints_disabled=[
                    {"name": name, "reason": why} for name, why in reads.disabled_endpoints(conn)
                ],
                models=[
                    {
                        "model": line.name,
                        "version": line.version.name if line.version else None,
                        "health": line.health,
                        "features": line.features,
                        "moved": line.moved,
                        "share": line.whole.share if line.whole else None,
                        "weighted": line.whole.weighted if line.whole else None,
                        "judged_to": instant(line.judged_to_ms),
                    }
                    for line in overview(conn).lines
                ],
                stopped=[asdict(stop) for stop in breakers.standing(conn)],
                replays=[
                    {
                        "topic": r.topic,
                        "model": r.model,
                        "version": r.version,
                        "start": instant(r.start_ms),
                        "begun": instant(r.begun_ms),
                        "seen": instant(r.seen_ms),
                        "owner": r.process,
                        "read": r.read,
                        "total": r.total,
                        "is_stale": r.is_stale(now_ms),
                    }
                    for r in lanes.under_way(conn)
                ],
                service_incidents=[
                    {
                        "id": one.incident.id,
                        "kind": one.incident.kind,
                        "name": one.incident.name,
                        "severity": one.incident.severity,
                        "opened_at": instant(one.incident.opened_ms),
                        "summary": one.incident.summary,
                        "todo": one.todo,
                        "command": one.command,
                    }
                    for one in troubles(conn, only_open=True)
                ],
            )
    finally:
        engine.dispose()


def instant(at_ms: int | None) -> str | None:
    """RFC 3339 in UTC; None stays None.

    Examples
    --------
    >>> instant(1_360_318_500_000)
    '2013-02-08T10:15:00Z'
    """
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


def _minute(instant_: str | None) -> str:
    """An instant of JSON as a narrow terminal has room for it: the minute, in UTC."""
    return "none" if instant_ is None else instant_[:16].replace("T", " ")


def _silence(seen: str | None, now_ms: int) -> str:
    if seen is None:
        return "never read"
    return f"silent for {ago(now_ms, int(datetime.fromisoformat(seen).timestamp() * 1_000))}"


def _replay(r: dict[str, Any]) -> str:
    """Return what a replay that is not done counts, how far it is, and whose it is."""
    what = " ".join(filter(None, (r["model"], r["version"]))) or "everything"
    since = f" from {_minute(r['start'])} on" if r["start"] else ""
    done = f"{r['read']:,} of {r['total']:,} offsets"
    if r["is_stale"]:
        return (
            f"replay of {what}{since}, {r['topic']}: stopped at {done}, last seen "
            f"{_minute(r['seen'])} ({r['owner']}); the same command goes on with it, "
            f"`{command('replay --abandon')}` gives it up"
        )
    return (
        f"replay of {what}{since}, {r['topic']}: {done} since {_minute(r['begun'])} ({r['owner']})"
    )


def _models(models: list[dict[str, Any]]) -> Any:
    """Return a table of the models, the worst first; by importance where a reference has any."""
    from rich.table import Table
    from rich.text import Text

    is_weighed = any(m["weighted"] is not None for m in models)
    table = Table(box=None)
    table.add_column("model", overflow="fold")
    table.add_column("state")
    table.add_column("features drifted", justify="right")
    if is_weighed:
        table.add_column("by importance", justify="right")
    for m in models:
        weighted = m["weighted"]
        table.add_row(
            Text(f"{m['model']} {m['version'] or ''}".rstrip()),
            m["health"].replace("_", " "),
            f"{m['moved']} of {m['features']}" if m["features"] else "none judged",
            *([f"{100 * weighted:.0f} %" if weighted is not None else ""] if is_weighed else []),
        )
    return table


def _print(found: Status, now_ms: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Names and reasons are data: Text keeps rich from reading markup in them.
    console = Console(highlight=False)
    console.print(Text(f"{found.database}, judged up to {found.watermark or 'nothing yet'}"))
    for stop in found.stopped:
        console.print(
            Text(
                f"STOPPED: of the last {stop['events']:,} events of {stop['topic']}, "
                f"{stop['undecodable']:,} cannot be read ({', '.join(list(stop['reasons'])[:3])}); "
                f"nothing is lost. Mend the producer, or `{command('dead-letter accept')}`"
            )
        )
    for one in found.service_incidents:
        told = f"{one['severity'].upper()}: {one['summary']} {one['todo']}: `{one['command']}`"
        console.print(Text(told))
    for replay in found.replays:
        console.print(Text(_replay(replay)))
    if found.partitions and not any(p["is_fresh"] for p in found.partitions):
        seen = max((p["seen"] for p in found.partitions if p["seen"]), default=None)
        said = "never seen" if seen is None else f"last seen {_minute(seen)}"
        console.print(Text(f"nothing is reading: {said}"))
    table = Table("partition", "position", "lag", "newest event, UTC", "state", box=None)
    for p in found.partitions:
        state = "reading" if p["is_fresh"] else _silence(p["seen"], now_ms)
        if p["is_fresh"] and p["caught_up_s"] > 0:
            state = f"idle for {p['caught_up_s']:.0f} s"
        table.add_row(
            Text(f"{p['topic']} {p['partition']}"),
            f"{p['position']:,}",
            f"{p['lag']:,}",
            _minute(p["max_event_time"]),
            state,
        )
    console.print(table)
    events = ", ".join(f"{n:,} {name}" for name, n in found.counters.items())
    console.print(Text(f"events: {events or 'none'}"))
    dead = ", ".join(f"{n:,} {reason}" for reason, n in found.dead_letters.items())
    console.print(Text(f"dead letters: {dead or 'none'}"))
    for d in found.deficits:
        name = f"{d['model']} {d['version']}"
        console.print(
            Text(f"{name} had no reference yet: {counted(d['records'], 'record')} not counted")
        )
    for g in found.gaps:
        console.print(
            Text(
                f"lost before it was read ({g['kind']}): {g['topic']} {g['partition']}, "
                f"offsets {g['from_offset']:,} to {g['to_offset']:,}"
            )
        )
    if found.models:
        console.print(_models(found.models))
    members = sum(len(i["members"]) for i in found.incidents)
    said = "1 member" if members == 1 else f"{members} members"
    of = f" ({said}: one for each feature, segment and kind)" if members else ""
    console.print(Text(f"incidents: {len(found.incidents)} open{of}"))
    for i in found.incidents:
        where = "" if "all" in i["segments"] else f", {', '.join(i['segments'])}"
        console.print(Text(f"  #{i['id']} {i['severity']}{where}: {i['summary']}"))
    sent = found.deliveries
    console.print(
        Text(
            f"webhooks: {sent['delivered']:,} delivered, {sent['failed']:,} given up, "
            f"{sent['pending']:,} pending"
        )
    )
    broken = {one["name"] for one in found.service_incidents if one["kind"] == "delivery"}
    for e in found.endpoints_disabled:
        if e["name"] in broken:  # that was said above, with what mends it
            continue
        console.print(Text(f"  endpoint {e['name']} is disabled: {e['reason']}"))
