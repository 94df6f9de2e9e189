"""`driftline history`: predictions of before, counted here and put beside what the stream counted.

Over HTTP, with the SDK alone: the rows stay here, what is sent is counts.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftline.errors import ConfigError
from driftline.events import PREDICTION, SCORE, SCORES_PREFIX
from driftline.program import command
from monitor.cli import access, columns, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import line, minute, plain
from monitor.words import counted

if TYPE_CHECKING:
    from driftline import Client, answers
    from driftline.history import Profiles
    from driftline.stats.reference import Reference

app = typer.Typer(
    help="Predictions of before, counted from a file: uploaded, listed, removed.",
    no_args_is_help=True,
)

_EARLIEST: Final = "2000-01-01T00:00:00Z"
_LATEST: Final = "2100-01-01T00:00:00Z"

Name = Annotated[str, typer.Argument(metavar="UPLOAD", help="The upload's name.")]


@app.command()
def upload(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Parquet, CSV or NDJSON; its rows stay here.")
    ],
    model: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    prediction: columns.Prediction = None,
    score: columns.Score = None,
    class_score: columns.ClassScore = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time; needed.")] = None,
    timezone: Annotated[str, typer.Option(help="IANA time zone of times without one.")] = "UTC",
    start: Annotated[
        str | None, typer.Option("--from", help="Only hours from then on: 2025-06-01T00:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only hours that begin before then.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="Count on its bins; by default on the version's last reference."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The upload's name; made of its content by default.")
    ] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Count FILE on the version's bins, by hour and segment, and let the server judge it.

    Each row is one prediction, as it would have come through Kafka; columns that
    the reference does not know are left out:

        driftline history upload scored.parquet --model churn --version 3
        --prediction class --score score --timestamp at

    All of it counts at once, or nothing. A time that the stream or another upload
    has counted is refused: --from and --until leave hours out. Cut short, the same
    line goes on where it was; made again, it changes nothing. Larger tables are
    counted where they lie: `driftline.spark`. Needs pyarrow: the extra "arrow".

    Exit codes: 0 done, 1 the file's content or the upload was refused, 2 an
    option or the file is wrong or absent, or no server answers.
    """
    low_ms, end_ms = _ms("--from", start or _EARLIEST), _ms("--until", until or _LATEST)
    if low_ms >= end_ms:
        raise ConfigError("--until", "command line", until, "a time after --from")
    outputs = {"prediction": prediction, "score": score}
    scores = columns.by_class(class_score or ())
    with connect(url, config, token_file) as client:
        bound = client.reference_document(reference or _bound(client, model, version))
        with _bar("counting", is_quiet=json_) as told, options.named_as_options():
            found = _counted(file, bound, outputs, scores, timestamp, timezone, told)
        left_out = found.rows
        refused = dict(found.refused)
        if start or until:
            found = found.between(low_ms, end_ms)
        left_out -= found.rows
        with _bar("uploading", is_quiet=json_) as told:
            done = client.upload_history(model, version, found, upload=name, progress=told)
    if json_:
        options.echo(json.dumps({**plain(done), "refused": refused, "left_out": left_out}))
        return
    options.echo(line(f"{model} {version}: upload {done.upload}"))
    for said in _said(done):
        options.echo(f"  {said}")
    if left_out:
        options.echo(f"  {counted(left_out, 'row')} outside of --from and --until left out")
    for reason, n in refused.items():
        options.echo(f"  {counted(n, 'row')} not counted: {reason}")


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the uploads, in the order in which they were begun."""
    with connect(url, config, token_file) as client:
        found = client.uploads(model)
    if json_:
        options.echo(json.dumps([_plain(one) for one in found]))
        return
    if not found:
        begin = command("history upload FILE --model NAME --version V")
        options.echo(f"no upload; `{begin}` makes one")
    for one in found:
        options.echo(line(f"{one.upload}  {one.state}: {one.model} {one.version}"))
        options.echo(f"   {_extent(one)}")


@app.command()
def show(
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show one upload: how far it is, and how much of its time a stream has counted since, too."""
    with connect(url, config, token_file) as client:
        found = client.upload(name)
    if json_:
        options.echo(json.dumps(plain(found)))
        return
    options.echo(line(f"{found.upload} of {found.model} {found.version}"))
    for said in _said(found):
        options.echo(f"  {said}")


@app.command()
def remove(
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Give an upload up, or take what it counted out again: that time is judged without it."""
    with connect(url, config, token_file) as client:
        found = client.remove_upload(name)
    if json_:
        options.echo(json.dumps(_plain(found)))
        return
    was = "its time is judged without it" if found.state == "counted" else "it had not counted"
    options.echo(line(f"upload {found.upload} of {found.model} {found.version} is removed; {was}"))


def _bound(client: Client, model: str, version: str) -> str:
    """Return the digest of the reference that is bound to a version last."""
    versions = client.model(model).versions
    for each in versions:
        if each.version == version and each.bindings:
            return max(each.bindings, key=lambda one: one.effective_from).reference_digest
    known = ", ".join(each.version for each in versions[:20])
    raise ConfigError(
        "--version", "command line", version, f"a version of {model} with a reference: {known}"
    )


def _counted(
    file: Path,
    reference: Reference,
    outputs: dict[str, str | None],
    scores: dict[str, str],
    timestamp: str | None,
    timezone: str,
    told: Callable[[int, int], None],
) -> Profiles:
    """Return the profiles of a file's rows, by hour and segment."""
    from driftline.arrow import pyarrow
    from driftline.counting_tables import profile_table
    from monitor.cli import tables

    pa = pyarrow("counting history")
    # Read as `reference register` and `log` read it: what a cell is must not depend on the verb.
    table = tables.read(file, timestamp=timestamp)
    prediction, score, timestamp = table.outputs(outputs["prediction"], outputs["score"], timestamp)
    if timestamp is None:
        raise ConfigError(
            "--timestamp", "command line", None, "the column that says when each prediction was"
        )
    scores = table.class_scores(scores)
    named = {prediction: PREDICTION, score: SCORE}
    named |= {column: f"{SCORES_PREFIX}{label}" for label, column in scores.items()}
    numeric = {each.name for each in reference.gridset.features if each.kind == "numeric"}
    table = table.with_numbers([name for name in table.names if named.get(name, name) in numeric])
    frame: Any = table.frame
    return profile_table(
        pa.table(frame) if isinstance(frame, dict) else frame,
        reference,
        timestamp=timestamp,
        timezone=timezone,
        prediction=prediction,
        score=score,
        scores=scores,
        progress=told,
    )


def _said(found: answers.Upload) -> Iterator[str]:
    if found.state == "counted" and found.counted is not None:
        yield f"counts since {minute(found.counted)}"
    else:
        yield f"does not count yet: {counted(found.chunks, 'chunk')} are here"
    yield _extent(found)
    if found.also_streamed:
        yield (
            f"a stream has counted later events in {counted(found.also_streamed, 'pane')} of it, "
            "too"
        )
    yield f"`{command(f'history remove {found.upload}')}` takes it out again"


def _extent(found: answers.Upload) -> str:
    rows, panes = counted(found.rows, "row"), counted(found.panes, "pane")
    if found.first is None or found.end is None:
        return f"{rows} in {panes}"
    return f"{rows} in {panes}, {minute(found.first)} to {minute(found.end)}"


def _plain(found: answers.Upload) -> dict[str, Any]:
    """Only the answer about one upload says what a stream has counted since."""
    return {name: value for name, value in plain(found).items() if name != "also_streamed"}


def _ms(option: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ConfigError(option, "command line", text, "a time as 2025-06-01T00:00:00Z")
    return round(at.timestamp() * 1000)


@contextlib.contextmanager
def _bar(what: str, *, is_quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; nothing in a log and beside --json."""
    if is_quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
