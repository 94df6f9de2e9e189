"""`driftline replay`: the log counted again, compared with what stands, or judged otherwise."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftline.errors import ConfigError
from driftline.program import command
from monitor.brokers import client_options
from monitor.cli import options

if TYPE_CHECKING:
    from consumers.replay import Asked, Outcome, Verified
    from consumers.settings import IngestSettings
    from monitor.config import Settings

# Where no terminal shows a bar, one line so often.
LINE_S: Final = 10.0
# Panes that are listed one by one.
SHOWN: Final = 20


def replay(
    model: Annotated[
        str | None, typer.Option(help="Only this model; every one unless given.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Only this version of it.")] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="From the local day that TIME lies in, such as 2013-02-01 or "
            "2013-02-01T06:00:00+01:00 (UTC unless it says otherwise). From the beginning unless "
            "given.",
        ),
    ] = None,
    from_offset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[PARTITION:]OFFSET",
            help="From the first day that nothing sent before this offset belongs to; may be "
            "repeated.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Recount and compare with what is stored; write nothing. Exit code 1 where it "
            "differs.",
        ),
    ] = False,
    what_if: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judge what is stored by the limits in this TOML file and show which incidents "
            "there would have been; write nothing.",
        ),
    ] = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up a replay that was begun and is not done.")
    ] = False,
    config: options.ConfigFile = None,
    database: options.Database = None,
    kafka: options.Kafka = None,
    json_: options.AsJson = False,
) -> None:
    """Count the log again while everything runs, and put the result in the place of what stands.

    For a reference that was registered after its events came, and where counts are doubted. The
    consumers go on meanwhile; what is counted again appears all at once, when it is done, and its
    windows are judged again. Ended at any time, the same command goes on where it was.

    Only what Kafka still holds can be counted again: days that it does not hold whole stay as
    they are.

        driftline replay --model flight-delay --version 4

        driftline replay --from 2013-02-01

        driftline replay --verify

        driftline replay --what-if limits.toml --model flight-delay
    """
    chosen = [word for word, is_on in (
        ("--verify", verify), ("--what-if", what_if is not None), ("--abandon", abandon)
    ) if is_on]  # fmt: skip
    if len(chosen) > 1:
        raise ConfigError("replay", "command line", " ".join(chosen), "one of them")
    from_ms = instant("--from", from_)
    settings = options.settings(config=config, database=database, kafka=kafka)
    url = options.existing_database(settings)
    if what_if is not None:
        if from_offset:
            raise ConfigError(
                "--from-offset", "command line", from_offset, "--from: what is stored has times"
            )
        from monitor.cli.what_if import run

        run(what_if, url, model=model, version=version, from_ms=from_ms, as_json=json_)
        return
    from consumers.replay import Asked

    offsets = offsets_of(from_offset or [])
    if offsets and from_ms is not None:
        raise ConfigError("--from-offset", "command line", from_offset, "no --from beside it")
    asked = Asked(model, version, from_ms, offsets or None)
    if abandon:
        _abandon(settings, url, json_)
    elif verify:
        _verify(settings, url, asked, json_)
    else:
        _replay(settings, url, asked, json_)


def _replay(settings: Settings, url: str, asked: Asked, as_json: bool) -> None:
    from consumers.replay import replay as count_again

    with _parts(settings, url) as (engine, log, ingest):
        try:
            with _bar("replay", as_json) as progress:
                done = count_again(engine, log, ingest, asked, progress=progress, actor=_actor())
        except KeyboardInterrupt:
            sys.stderr.write(
                "driftline: what was counted so far is kept: the same command goes on with it, "
                f"`{command('replay --abandon')}` gives it up\n"
            )
            raise
    if as_json:
        options.echo(json.dumps(dataclasses.asdict(done)))
        return
    options.echo("\n".join(done_lines(done)))


def _verify(settings: Settings, url: str, asked: Asked, as_json: bool) -> None:
    from consumers.replay import verify

    with _parts(settings, url) as (engine, log, ingest), _bar("verify", as_json) as progress:
        found = verify(engine, log, ingest, asked, progress=progress)
    if as_json:
        options.echo(json.dumps(dataclasses.asdict(found) | {"equal": not found.differences}))
    else:
        options.echo("\n".join(verified_lines(found)))
    if found.differences:
        raise typer.Exit(1)


def _abandon(settings: Settings, url: str, as_json: bool) -> None:
    from consumers.replay import abandon

    with _parts(settings, url) as (engine, log, ingest):
        was_there = abandon(engine, log, ingest)
    if as_json:
        options.echo(json.dumps({"abandoned": was_there}))
        return
    said = "it was given up; nothing of what stands was changed" if was_there else "there is none"
    options.echo(f"a replay of {ingest.topic}: {said}")


def done_lines(done: Outcome) -> list[str]:
    """Return what a replay did, in lines."""
    lines = []
    if done.is_resumed:
        lines.append("went on with what was begun before")
    if done.whole_since_ms is not None:
        lines.append(
            f"the log holds everything from {_time(done.whole_since_ms)} on only: earlier days "
            "stay as they are"
        )
    for model, version, from_ms in done.versions:
        since = "all that was sent" if not from_ms else f"from {_time(from_ms)} on"
        lines.append(f"{model} {version}: {since}")
    if done.recovered:
        lines.append(f"{done.recovered:,} events that had no reference are counted now")
    if done.changed_ms is None:
        lines.append(f"{done.records:,} records read: every pane is as it was")
    else:
        lines.append(
            f"{done.records:,} records read: {done.panes:,} panes from {_time(done.changed_ms)} "
            "on are new, and their windows are judged again"
        )
    return lines


def verified_lines(found: Verified) -> list[str]:
    """Return what a recount found, in lines; one sentence where all is equal."""
    left_out = [f"not compared: {sentence}" for sentence in found.left_out]
    if not found.differences:
        return [
            f"the database holds what the log says: {found.events:,} events in "
            f"{found.panes:,} panes, SHA-256 {found.digest[:16]}",
            *left_out,
        ]
    lines = [
        f"{len(found.differences):,} of {found.panes:,} panes differ from what the log says "
        f"({found.events:,} events)",
        "",
        "| version | partition | segment | from | rows stored | recounted | features |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found.differences[:SHOWN]:
        shown = ", ".join(each.features[:3]) + (" ..." if len(each.features) > 3 else "")
        lines.append(
            f"| {each.model} {each.version} | {each.partition} | {each.segment} | "
            f"{_time(each.start_ms)} | {each.stored:,} | {each.recounted:,} | {shown} |"
        )
    if len(found.differences) > SHOWN:
        lines.append(f"\n{len(found.differences) - SHOWN:,} more: --json lists them")
    lines += ["", f"`{command('replay')}` counts them again", *left_out]
    return lines


def instant(name: str, text: str | None) -> int | None:
    """A time on the command line, as epoch ms; UTC unless it says otherwise.

    Examples
    --------
    >>> instant("--from", "2013-02-01"), instant("--from", "2013-02-01T01:00:00+01:00")
    (1359676800000, 1359676800000)
    >>> instant("--from", "yesterday")
    Traceback (most recent call last):
    driftline.errors.ConfigError: --from (command line): got 'yesterday', expected a date or a \
time such as 2013-02-01 or 2013-02-01T06:00:00+01:00
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        at = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return round(at.timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise ConfigError(
            name, "command line", text,
            "a date or a time such as 2013-02-01 or 2013-02-01T06:00:00+01:00",
        ) from None  # fmt: skip


def offsets_of(given: list[str]) -> dict[int, int]:
    """Offsets by partition, as they are written; -1 stands for every partition.

    Examples
    --------
    >>> offsets_of(["1200"]), offsets_of(["0:10", "3:7"])
    ({-1: 1200}, {0: 10, 3: 7})
    >>> offsets_of(["1200", "3:7"])
    Traceback (most recent call last):
    driftline.errors.ConfigError: --from-offset (command line): got '1200', expected either one \
OFFSET for every partition, or PARTITION:OFFSET each
    """
    found: dict[int, int] = {}
    for text in given:
        partition, colon, offset = text.rpartition(":")
        if not offset.isdigit() or (colon and not partition.isdigit()):
            raise ConfigError(
                "--from-offset", "command line", text, "OFFSET or PARTITION:OFFSET, such as 0:1200"
            )
        found[int(partition) if colon else -1] = int(offset)
    if -1 in found and len(given) > 1:
        text = next(text for text in given if ":" not in text)
        raise ConfigError(
            "--from-offset", "command line", text,
            "either one OFFSET for every partition, or PARTITION:OFFSET each",
        )  # fmt: skip
    return found


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"


def _actor() -> str:
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name
        return "cli"


@contextmanager
def _parts(settings: Settings, url: str) -> Iterator[tuple[Any, Any, IngestSettings]]:
    """The database, the log and what they are read by, closed in the end."""
    from consumers.bounded import batch_bytes
    from consumers.kafka import KafkaSource
    from consumers.settings import IngestSettings
    from monitor.storage import engine as storage

    engine = storage.create(url)
    storage.check_schema(engine)
    asked = IngestSettings(
        database_url=url,
        bootstrap=settings.text("kafka.bootstrap"),
        topic=settings.text("kafka.topic"),
        max_record_bytes=settings.integer("ingest.max_record_bytes"),
        client_options=client_options(settings),
    )
    # The client's own complaints come several a second while a broker is away; ours come once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    log = KafkaSource(
        asked.bootstrap,
        asked.topic,
        None,
        options=asked.client_options,
        batch_bytes=batch_bytes(asked.max_record_bytes),
    )
    try:
        yield engine, log, asked
    finally:
        log.close()
        engine.dispose()


@contextmanager
def _bar(what: str, is_quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere, nothing beside --json."""
    if is_quiet:
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """Progress as lines of a log."""

    def __init__(self, what: str) -> None:
        self._what, self._said_at = what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said_at >= LINE_S:
            self._said_at = now
            sys.stderr.write(f"{self._what}: {done:,} of {total:,} records read\n")
