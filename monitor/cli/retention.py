"""`driftline retention`: for how long what is kept; the evaluator does what this shows."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import typer

from driftline.errors import ConfigError
from monitor.cli import options
from monitor.config import Settings

if TYPE_CHECKING:
    from monitor.retention import Did, Policy

app = typer.Typer(
    help="For how long what is kept, and what that makes smaller.", no_args_is_help=True
)

# What a table's row says, by the names of `storage.retention.kept` and of the policy.
_ROWS: Final = (
    ("hours", "hours_days", "counts of hours", "then added up by day"),
    ("days", "days_days", "counts of days", "then deleted"),
    ("hour_windows", "hour_findings_days", "judged hours", "then the worst of each day"),
    ("windows", "findings_days", "judged longer windows", "then deleted"),
    ("letters", "letters_days", "dead letters", "then only counted"),
)
_TOLD_S: Final = 2.0


def policy_of(settings: Settings) -> Policy:
    """Return what the settings say of retention.

    Raises
    ------
    ConfigError
        A time is too short for verdicts to stay what they are.
    """
    from monitor.retention import LEAST, Policy

    for name, (least, why) in LEAST.items():
        key = f"retention.{name}"
        if 0 < (days := settings.integer(key)) < least:
            expected = f"0 (for ever) or at least {least}: {why}"
            raise ConfigError(key, settings.source(key), days, expected)
    return Policy(**{name: settings.integer(f"retention.{name}") for name in LEAST})


@app.command()
def show(
    config: options.ConfigFile = None,
    database: options.Database = None,
    json_: options.AsJson = False,
) -> None:
    """Show for how long what is kept, how much of it stands and since when.

    Days count back from each version's own last judged window: what an old log says, or a model
    that nobody calls any more, is not deleted by the wall clock. Set them in driftline.toml under
    [retention]; the evaluator works through what is due while it has nothing to judge.
    """
    from monitor.storage import engine as storage
    from monitor.storage import retention

    settings = options.settings(config=config, database=database)
    policy = policy_of(settings)
    engine = storage.create(options.existing_database(settings))
    storage.check_schema(engine)
    with storage.reading(engine) as conn:
        kept = retention.kept(conn)
    engine.dispose()
    if json_:
        options.echo(
            json.dumps(
                {
                    name: {
                        "days": getattr(policy, days),
                        "rows": kept[name].rows,
                        "first": None if (at := kept[name].first_ms) is None else _iso(at),
                    }
                    for name, days, _, _ in _ROWS
                }
            )
        )
        return
    for name, days, what, then in _ROWS:
        long = getattr(policy, days)
        first = kept[name].first_ms
        since = f" since {_iso(first)[:10]}" if first is not None else ""
        limit = f"kept for {long:,} days, {then}" if long else "kept for ever"
        options.echo(f"{what:<27} {kept[name].rows:>12,} rows{since:<17} {limit}")


@app.command()
def run(
    config: options.ConfigFile = None,
    database: options.Database = None,
    json_: options.AsJson = False,
) -> None:
    """Do now what is due: the evaluator does the same, a little at a time.

    It may run beside everything else and be stopped at any time.

    Exit codes: 0 done, 1 some of it could not be done, 2 a setting or the database is wrong.
    """
    from monitor.clock import SystemClock
    from monitor.retention import Keeper
    from monitor.storage import engine as storage

    options.log_to_stderr()
    settings = options.settings(config=config, database=database)
    policy = policy_of(settings)
    engine = storage.create(options.existing_database(settings))
    storage.check_schema(engine)
    told_s = time.monotonic()

    def went_on(did: Did) -> None:
        nonlocal told_s
        if time.monotonic() - told_s > _TOLD_S:
            told_s = time.monotonic()
            typer.echo(f"so far: {_words(did)}", err=True)

    keeper = Keeper(engine, policy, SystemClock())
    did = keeper.run(went_on)
    engine.dispose()
    failed = {
        of if isinstance(of, str) else f"{of.model} {of.version}": why
        for of, why in keeper.failures.items()
    }
    options.echo(json.dumps(vars(did) | {"failed": failed}) if json_ else _words(did))
    for what, why in failed.items():
        typer.echo(f"{what}: kept as it is: {why}", err=True)
    if failed:
        raise typer.Exit(1)


def _words(did: Did) -> str:
    parts = (
        (did.hours, "counts of hours added up by day"),
        (did.hour_windows, "windows of hours forgotten"),
        (did.windows, "longer windows forgotten"),
        (did.days, "counts of days deleted"),
        (did.letters, "dead letters deleted"),
        (did.lanes, "rows of replays deleted that nobody can go on with"),
    )
    said = [f"{n:,} {what}" for n, what in parts if n]
    return ", ".join(said) if said else "nothing is older than it may be"


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")
