"""`driftline demo`: a year of flights through the whole program, on one machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.errors import ConfigError
from monitor.cli import options
from monitor.cli.processes import interrupt_on_hangup
from monitor.cli.status import DEMO_DATABASE

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine


def demo(
    headless: Annotated[bool, typer.Option(help="End when the year is judged.")] = False,
    json_: options.AsJson = False,
    database: options.Database = None,
    port: options.WebPort = None,
    broker_port: options.BrokerPort = None,
    no_retrain: Annotated[
        bool, typer.Option("--no-retrain", help="Leave January's model in place all year.")
    ] = False,
) -> None:
    """Replay the flights of 2013 as a model's log and tell what happened to it.

    Runs an embedded broker, consumer, evaluator, dispatcher, dashboard and a receiver of webhooks,
    trains a model on January, registers January as the reference, and streams February to
    December. Where critical drift was open on 5 of 28 days, Driftline asks the demo's trainer for
    a new model: it learns from all that is known by then, and the stream waits for it and goes on
    with its scores. The database, driftline-demo.db, is made anew each time; one that holds
    anything else is refused.
    """
    from monitor.cli.demo.receiver import Receiver
    from monitor.cli.demo.run import run
    from monitor.cli.demo.screen import Screen
    from monitor.cli.tree import ChildDied, Tree

    settings = options.settings(
        database=database or f"sqlite:///{DEMO_DATABASE}", port=port, broker_port=broker_port
    )
    interrupt_on_hangup()
    screen = Screen(to_stderr=json_)
    # In a demo a year passes in a minute: what is far too often in life is just right.
    overrides = {
        "ingest.checkpoint_interval_s": 1.0 if no_retrain else 0.1,
        "evaluate.interval_s": 1.0 if no_retrain else 0.1,
        # Its receiver is on this machine.
        "alerts.allow": "127.0.0.1/32",
    }
    folder = Path(tempfile.mkdtemp(prefix="driftline-demo-"))
    is_over = True
    try:
        tree = Tree(settings, with_broker=True, folder=folder, overrides=overrides, verb="demo")
        with screen, Receiver(screen.note) as receiver, tree:
            tree.claim()
            make_room(tree.database_url)
            result = run(tree, screen, receiver, folder, retrains=not no_retrain)
            if json_:
                options.echo(json.dumps(result.as_json()))
            else:
                screen.tell(result)
            if not headless:
                screen.say(f"The dashboard stays at {tree.web_url} until Ctrl-C.")
                tree.watch()
    except KeyboardInterrupt:
        screen.say("Stopped.")
        # A script that asked for the result has not got it; a person has just had enough.
        raise typer.Exit(1 if headless else 0) from None
    except ChildDied:
        is_over = False
        screen.say(f"What the processes said is in {folder}")
        raise
    finally:
        if is_over:
            shutil.rmtree(folder, ignore_errors=True)


def make_room(database_url: str) -> None:
    """Remove what an earlier demo left in the database.

    Raises
    ------
    ConfigError
        It holds something else: nothing is removed.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from driftline.errors import DriftlineError
    from monitor.storage import engine as storage

    file = options.sqlite_file(database_url)
    if file is not None and not file.exists():
        return
    engine = _untouched(file) if file is not None else storage.create(database_url)
    try:
        with storage.reading(engine) as conn:
            is_empty, is_demo_s = _content(conn)
    except (DriftlineError, SQLAlchemyError):
        is_empty = is_demo_s = False
    finally:
        engine.dispose()
    if is_empty:
        return
    if file is None or not is_demo_s:
        raise ConfigError(
            "database.url",
            "--database",
            str(file or engine.url.render_as_string()),
            "a database that is new or of an earlier demo in SQLite: this one holds something else",
        )
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _untouched(file: Path) -> Engine:
    """An engine that changes nothing: the file may be anybody's."""
    import sqlite3

    import sqlalchemy as sa

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)


def _content(conn: Connection) -> tuple[bool, bool]:
    """Whether the database holds nothing, and whether all it holds is a demo's."""
    import sqlalchemy as sa

    from monitor.cli.demo.produce import MODEL, VERSION
    from monitor.storage import schema as t

    tables = set(sa.inspect(conn).get_table_names())
    if not tables:
        return True, False
    if not {t.model.name, t.model_version.name} <= tables:
        return False, False
    named = sa.select(t.model.c.name, t.model_version.c.name).select_from(
        t.model.outerjoin(t.model_version, t.model_version.c.model_id == t.model.c.id)
    )
    found = {(model, version) for model, version in conn.execute(named)}
    if found:
        # Version 1, and those that took over from each other.
        versions = {str(int(VERSION) + later) for later in range(len(found))}
        return False, found == {(MODEL, version) for version in versions}
    # A demo that was stopped before it registered its model has read nothing.
    traces = (t.deficit, t.dead_letter, t.counter)
    has_read = any(conn.execute(sa.select(table).limit(1)).first() for table in traces)
    return False, not has_read
