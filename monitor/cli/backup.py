"""`driftline backup` and `driftline restore`: the database as one file, and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.errors import Conflict
from monitor.cli import options
from monitor.cli.lock import DatabaseLock


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.")],
    config: options.ConfigFile = None,
    database: options.Database = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
    json_: options.AsJson = False,
) -> None:
    """Copy the database into one file while everything runs.

    FILE is an SQLite database, made of one state of SQLite or PostgreSQL alike. It is checked
    before it appears under its name, and it holds the secrets of your endpoints: only you may
    read it.
    """
    from monitor.storage import backup as storage_backup
    from monitor.storage import engine as storage

    settings = options.settings(config=config, database=database)
    engine = storage.create(options.existing_database(settings))
    if file.exists() and not force:
        raise Conflict(f"{file} is there already: name another file, or say --force")
    try:
        with _bar("backup", json_) as progress:
            made = storage_backup.write(engine, file, progress=progress)
    finally:
        engine.dispose()
    if json_:
        options.echo(json.dumps(storage_backup.as_plain(made)))
        return
    rows = sum(made.rows.values())
    options.echo(
        f"{made.file}: {rows:,} rows, {made.file.stat().st_size:,} bytes, schema {made.schema}"
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` made.")],
    config: options.ConfigFile = None,
    database: options.Database = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace a database that holds something; it is kept in a file."
        ),
    ] = False,
    json_: options.AsJson = False,
) -> None:
    """Put a backup in the place of the database, SQLite or PostgreSQL, whichever it was made of.

    Nothing may use the database meanwhile. Counting then goes on from the positions in the
    backup: what Kafka still holds since then is read again and counted once, what its retention
    took is a data gap that the pipeline page shows. An older backup is brought to this
    release's schema.
    """
    from monitor.storage import backup as storage_backup
    from monitor.storage import engine as storage

    settings = options.settings(config=config, database=database)
    url = settings.text("database.url")
    engine = storage.create(url)
    target = options.sqlite_file(url)
    lock = DatabaseLock(target, "driftline restore") if target is not None else None
    try:
        if lock is not None:
            lock.take()
        with _bar("restore", json_) as progress:
            found, kept = storage_backup.restore(file, engine, force=force, progress=progress)
    finally:
        if lock is not None:
            lock.release()
        engine.dispose()
    if json_:
        answer = storage_backup.as_plain(found)
        options.echo(json.dumps(answer | {"kept": None if kept is None else str(kept)}))
        return
    if kept is not None:
        options.echo(f"what it held before is in {_as_given(kept, target)}")
    rows = sum(found.rows.values())
    options.echo(
        f"{engine.url.render_as_string()} holds the {rows:,} rows of {file}; counting goes on "
        "from its positions"
    )


def _as_given(kept: Path, target: Path | None) -> Path:
    """A file beside the database, or in this folder, by a path as short as the one that was given.

    Examples
    --------
    >>> _as_given(Path("old.db").resolve(), Path("driftline.db"))
    PosixPath('old.db')
    """
    folder = target.parent if target is not None else Path()
    return folder / kept.name if folder.resolve() == kept.parent else kept


@contextmanager
def _bar(what: str, is_quiet: bool) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere."""
    from monitor.storage.backup import silent

    if is_quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
