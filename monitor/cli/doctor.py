"""`driftline doctor`: check an installation from the settings to the last records."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typer

from driftline.errors import ConfigError
from driftline.program import command
from monitor.cli import options
from monitor.cli.connect import local_url

if TYPE_CHECKING:
    from monitor.doctor import Check

_MARKS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "not checked": "-   "}
_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    config: options.ConfigFile = None,
    kafka: options.Kafka = None,
    database: options.Database = None,
    port: options.WebPort = None,
    json_: options.AsJson = False,
) -> None:
    """Check broker, topic, rights, records, database, processes and web; change nothing.

    Each line that is not ok says what mends it. Exit code 1 when something fails.
    """
    found = []
    for check in _checks(config, kafka, database, port):
        found.append(check)
        if not json_:
            _tell(check)
    n_failed = sum(check.state.value == "fail" for check in found)
    if json_:
        lines = [
            {"check": c.name, "state": c.state.value, "said": c.said, "mend": c.mend or None}
            for c in found
        ]
        options.echo(json.dumps({"ok": not n_failed, "checks": lines}))
    else:
        options.echo(f"{n_failed} of {len(found)} checks failed" if n_failed else "nothing fails")
    from monitor.doctor import hangs

    if hangs():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    if n_failed:
        raise typer.Exit(1)


def _checks(
    config: options.ConfigFile,
    kafka: options.Kafka,
    database: options.Database,
    port: options.WebPort,
) -> Iterator[Check]:
    from monitor.cli.access import access
    from monitor.cli.links import public_url
    from monitor.clock import SystemClock
    from monitor.doctor import Asked, Check, State, examine

    try:
        settings = options.settings(config=config, kafka=kafka, database=database, port=port)
    except ConfigError as error:
        yield Check("settings", State.FAIL, f"{error.key}: got {error.got!r} from {error.source}",
                    f"{error.expected}; `{command('config show')}` lists them")  # fmt: skip
        return
    here = local_url(settings)
    try:
        access(settings)
        public = public_url(settings)
    except ConfigError as error:
        public = here
        yield Check("web settings", State.FAIL, f"{error.key}: got {error.got!r}", error.expected)
    asked = Asked(options.sqlite_file(settings.text("database.url")), public, here)
    yield from examine(settings, asked, SystemClock())


def _tell(check: Check) -> None:
    state = check.state.value
    mark = typer.style(_MARKS[state], fg=_COLOURS.get(state), bold=state == "fail")
    # What a broker or a record says is data: one line of it, and no control character.
    said = "".join(c if c.isprintable() else "?" for c in check.said)
    options.echo(f"{mark} {check.name}: {said}")
    if check.mend:
        options.echo(f"       -> {check.mend}")
    sys.stdout.flush()
