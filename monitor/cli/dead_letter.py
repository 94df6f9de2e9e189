"""`driftline dead-letter`: records that could not be counted. Over HTTP, with the SDK alone."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from driftline.errors import ConfigError
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import line, plain, seconds
from monitor.words import counted

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(
    help="Records that could not be counted: shown, exported, sent again.", no_args_is_help=True
)

# What a terminal shows of a detail.
_SHOWN: Final = 60
# Why a letter is not sent, in words.
WHY: Final = {
    "sent": "sent again already",
    "in_doubt": "in doubt: being sent when something broke (--in-doubt sends them, perhaps twice)",
    "withheld": "not kept (ingest.keep_payload is off)",
    "truncated": "kept in part only: the record was longer than what is kept",
    "damaged": "damaged: what was kept does not match its hash",
    "arrow_row": "rows of an Arrow stream, which are kept as text",
    "unknown_form": "kept by an earlier release, which did not note their form",
    "other_topic": "of another topic than the server writes to",
    "not_written": "refused by the broker",
}

Id = Annotated[str, typer.Argument(help="Its id: stream, partition, offset and line.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These.")]
Reason = Annotated[str | None, typer.Option(help="Those with this reason: bad_json ...")]
Topic = Annotated[str | None, typer.Option(help="Those of this topic.")]
Model = Annotated[str | None, typer.Option(help="Those that name this model.")]
Since = Annotated[
    str | None, typer.Option("--from", help="Set aside from then on: 2025-06-02T07:00:00Z.")
]
Until = Annotated[str | None, typer.Option("--to", help="Set aside before then.")]


@app.command("list")
def list_(
    reason: Reason = None,
    topic: Topic = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the newest dead letters."""
    with connect(url, config, token_file) as client:
        found = list(client.dead_letters(reason, topic=topic, limit=limit))
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        options.echo("no dead letter is kept" + (f" with reason {reason}" if reason else ""))
        return
    width = max(len(one.id) for one in found)
    for one in found:
        detail = line(one.detail)[:_SHOWN]
        options.echo(
            f"{one.id:<{width}}  {one.recorded:%Y-%m-%d %H:%M:%S}  {one.reason}"
            f"{': ' + detail if detail else ''}{_state(one)}"
        )


@app.command()
def show(
    id_: Id,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show one dead letter with all that was kept of its record."""
    with connect(url, config, token_file) as client:
        found = client.dead_letter(id_)
    if json_:
        options.echo(json.dumps(plain(found)))
        return
    place = f", line {found.line}" if found.line else ""
    told = {
        "id": found.id,
        "where": f"{found.topic}, partition {found.partition}, offset {found.offset}{place}",
        "reason": f"{found.reason}: {found.detail}" if found.detail else found.reason,
        "size": counted(found.size_bytes, "byte"),
        "sha256": found.payload_sha256,
        "written": "unknown" if found.written is None else seconds(found.written),
        "set aside": seconds(found.recorded),
        "again": _again(found),
    }
    for name, words in told.items():
        options.echo(f"{name:<10} {line(words)}")
    if found.payload:
        options.echo("")
        options.echo("\n".join(line(part) for part in found.payload.split("\n")))


@app.command()
def replay(
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
    in_doubt: Annotated[
        bool,
        typer.Option(
            "--in-doubt",
            help="Those, too, of which nobody knows whether they arrived: perhaps twice then.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")
    ] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Write dead letters to the topic again, as new records, each at most once.

    What is given must all hold. Only what was kept whole is sent, byte for byte; the others are
    counted by why not, and the exit code is then 1. What fails again becomes a new dead letter.
    To mend records first: `dead-letter export`, then `log`.
    """
    if not (ids or reason or topic or model or since or until or everything):
        raise ConfigError(
            "dead-letter replay", "command line", "nothing",
            "ids, --reason, --topic, --model, --from, --to, or --all",
        )  # fmt: skip
    with connect(url, config, token_file) as client, _progress() as told:
        found = client.replay_dead_letters(
            ids or (), reason=reason, topic=topic, model=model, start=since, end=until,
            everything=everything, in_doubt=in_doubt, dry_run=dry_run, progress=told,
        )  # fmt: skip
    if json_:
        options.echo(json.dumps(plain(found)))
    else:
        done = "would be sent" if found.is_dry_run else "sent"
        options.echo(
            f"{found.sent:,} of {counted(found.selected, 'dead letter')} {done} to {found.topic}"
        )
        for why, n in sorted(found.refused.items(), key=lambda item: (-item[1], item[0])):
            options.echo(f"  {n:,} not sent: {WHY.get(why, why)}")
    if any(n for why, n in found.refused.items() if why != "sent"):
        raise typer.Exit(1)


@app.command()
def accept(
    topic: Annotated[str | None, typer.Option(help="Of this topic only.")] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Let consumers go on that stopped since most could not be read.

    What cannot be read goes by as dead letters, until most can be read again. Start `ingest`
    again where nothing else does; `up` starts its own.
    """
    with connect(url, config, token_file) as client:
        found = client.accept_dead_letters(topic)
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        options.echo("no consumer has stopped")
    for one in found:
        options.echo(
            f"{one.topic} may go on from partition {one.partition}, offset {one.next_offset:,}"
        )


@app.command()
def export(
    reason: Reason = None,
    topic: Topic = None,
    file: Annotated[
        Path | None, typer.Option(help="Write there; standard output by default.")
    ] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Write dead letters as NDJSON, one a line, their bytes in base64 (`payload_base64`).

    `replay` of each line says whether its bytes are whole (`possible`, `sent`, `in_doubt`), or
    why they are not. Mended, the records are sent by `driftline log`.
    """
    how: Counter[str] = Counter()
    with connect(url, config, token_file) as client, _progress() as told:
        letters = client.dead_letters(reason, topic=topic)
        try:
            with _output(file) as write:
                for one in letters:
                    write(json.dumps(plain(client.dead_letter(one.id))) + "\n")
                    how[one.replay] += 1
                    told(1)
        except OSError as error:
            raise ConfigError(
                "--file", "command line", str(file), f"a file to write ({error.strerror})"
            ) from None
    said = ", ".join(f"{n:,} {words}" for words, n in how.most_common())
    typer.echo(
        f"driftline: {counted(how.total(), 'dead letter')} written{f': {said}' if said else ''}",
        err=True,
    )


@contextmanager
def _output(file: Path | None) -> Iterator[Callable[[str], object]]:
    if file is None:
        yield sys.stdout.write
        return
    with file.open("w", encoding="utf-8") as stream:
        yield stream.write


def _state(one: answers.DeadLetter) -> str:
    words = {"sent": "  [sent again]", "in_doubt": "  [in doubt]"}
    return words.get(one.replay, "")


def _again(one: answers.DeadLetter) -> str:
    if one.replay == "possible":
        return "can be sent again"
    at = "" if one.replayed is None else f", {seconds(one.replayed)}"
    if one.replay == "sent":
        place = f"partition {one.replayed_partition}, offset {one.replayed_offset}"
        return f"sent again as {place}{at}"
    return f"{WHY.get(one.replay, one.replay)}{at}"


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Say how far it is, to a person at a terminal."""
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} dead letters"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("dead letters", total=None)
        yield lambda n: bar.advance(task, n)
