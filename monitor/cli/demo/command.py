"""`driftline demo`: a year of flights through the whole program, on one machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import options
from monitor.cli.processes import interrupt_on_hangup
from monitor.cli.status import DEMO_DATABASE


def demo(
    headless: Annotated[bool, typer.Option(help="End when the year is judged.")] = False,
    json_: options.AsJson = False,
    database: options.Database = None,
    port: options.WebPort = None,
    broker_port: options.BrokerPort = None,
) -> None:
    """Replay the flights of 2013 as a model's log and tell what happened to it.

    Runs an embedded broker, consumer, evaluator and dashboard, trains a model on January,
    registers January as the reference, and streams February to December. The database,
    driftline-demo.db, is made anew each time.
    """
    from monitor.cli.demo.run import run
    from monitor.cli.demo.screen import Screen
    from monitor.cli.tree import ChildDied, Tree

    settings = options.settings(
        database=database or f"sqlite:///{DEMO_DATABASE}", port=port, broker_port=broker_port
    )
    interrupt_on_hangup()
    screen = Screen(to_stderr=json_)
    # In a demo a year passes in a minute: what is far too often in life is just right.
    overrides = {"ingest.checkpoint_interval_s": 1.0, "evaluate.interval_s": 1.0}
    folder = Path(tempfile.mkdtemp(prefix="driftline-demo-"))
    is_over = True
    try:
        tree = Tree(settings, with_broker=True, folder=folder, overrides=overrides)
        with screen, tree:
            tree.require_free_ports()
            if database is None:
                _remove(Path(DEMO_DATABASE))
            result = run(tree, screen)
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


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
