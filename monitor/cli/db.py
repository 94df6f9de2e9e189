"""`driftline db`: the database's schema."""

from __future__ import annotations

import json

import typer

from monitor.cli import options

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command()
def upgrade(config: options.ConfigFile = None, database: options.Database = None) -> None:
    """Bring the database to this release's schema; a new one is made."""
    from monitor.storage import engine as storage

    engine = storage.create(options.settings(config=config, database=database).text("database.url"))
    before, _ = storage.schema_versions(engine)
    storage.upgrade(engine)
    after, _ = storage.schema_versions(engine)
    engine.dispose()
    said = "is already at" if before == after else "is now at"
    options.echo(f"{engine.url.render_as_string()} {said} schema {after}")


@app.command()
def version(
    config: options.ConfigFile = None,
    database: options.Database = None,
    json_: options.AsJson = False,
) -> None:
    """Say which schema the database has; exit code 1 unless it is this release's."""
    from monitor.storage import engine as storage

    settings = options.settings(config=config, database=database)
    engine = storage.create(options.existing_database(settings))
    found, expected = storage.schema_versions(engine)
    engine.dispose()
    if json_:
        options.echo(json.dumps({"found": found, "expected": expected}))
    else:
        options.echo(f"schema {found or 'none'}, this release needs {expected}")
    raise typer.Exit(0 if found == expected else 1)
