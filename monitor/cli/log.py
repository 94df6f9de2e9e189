"""`driftline log`: files of predictions, or of events, written to Kafka.

It works with `pip install driftline` alone, and imports nothing of the service.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from driftline.errors import ConfigError, InvalidFrame, MissingFile, StreamError
from driftline.producer import Record
from driftline.program import command
from monitor.cli import columns, options

_LIST = "may be given several times"
_EVENTS: Final = (".ndjson", ".jsonl")
# What rows do not say of themselves, with an example.
_NEEDED: Final = {
    "model": ("NAME", "churn"),
    "version": ("NAME", "3"),
    "prediction": ("COLUMN", "class"),
    "timestamp": ("COLUMN", "at"),
}
# Records that are written before all of them must be acknowledged.
TOGETHER: Final = 16
# Lines that are told; all are counted.
FAULTS_TOLD: Final = 20
# Lines that are checked together.
CHUNK: Final = 1_000
# A file's line is read up to here; an event may have 1 MB.
_LONGEST: Final = 1_100_000


@dataclass
class Result:
    """What became of the files.

    Attributes
    ----------
    events, records
        Acknowledged by the broker; with --dry-run what would be written.
    refused
        Lines that are no events, by reason.
    faults
        The first of them: file, line, reason, detail.
    """

    topic: str
    is_dry_run: bool
    events: int = 0
    records: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)


def log(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Parquet, CSV or NDJSON.")],
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    version: Annotated[str | None, typer.Option(help="Its version.")] = None,
    prediction: Annotated[str | None, typer.Option(help="Column of what it said.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of its score.")] = None,
    class_score: columns.ClassScore = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the outcome; each is one event more.")
    ] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    timezone: Annotated[str, typer.Option(help="IANA time zone of times without one.")] = "UTC",
    id_: Annotated[
        str | None, typer.Option("--id", help="Column that joins labels to predictions.")
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help=f"Log these only; {_LIST}. All others by default.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help=f"Words, no features; {_LIST}.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing unless every line is an event.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the files; write nothing, need no broker.")
    ] = False,
    kafka: options.Kafka = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Write a file's rows, or events, to Kafka, where Driftline counts them.

    A row of Parquet or CSV is one prediction; --model, --version, --prediction
    and --timestamp say what is what, and every other column is a feature:

        driftline log scored.parquet --model churn --version 3
        --prediction class --score score --timestamp at --id customer

    NDJSON (.ndjson, .jsonl) holds events as they are, one a line. A line that is
    none is refused with its number and reason, the others are written:

        driftline log events.ndjson --kafka broker:9092

    Every event is acknowledged by all replicas before it is counted here. Written
    again, a file is counted twice. Parquet needs pyarrow: the extra "arrow".

    Exit codes: 0 done, 1 a file's content or a line was refused, 2 an option or a
    file is wrong or absent, or the broker cannot be reached.
    """
    settings = options.settings(config=config, kafka=kafka)
    result = Result(settings.text("kafka.topic"), dry_run)
    asked = {
        "model": model, "version": version, "prediction": prediction, "score": score,
        "scores": columns.by_class(class_score or ()), "label": label, "timestamp": timestamp,
        "id": id_, "features": feature, "tags": tag or (),
    }  # fmt: skip
    for file in files:
        _require(file, asked)
    if strict:
        for file in files:
            if file.suffix.lower() in _EVENTS:
                for _ in _records_of_events(file, result):
                    pass
        if result.refused:
            _print(result, as_json=json_, is_strict=True)
            raise typer.Exit(1)

    def records() -> Iterator[Record]:
        for file in files:
            if file.suffix.lower() in _EVENTS:
                yield from _records_of_events(file, result)
            else:
                yield from _records_of_rows(file, asked, timezone)

    with _progress(files) as told:
        if dry_run:
            for record in records():
                _count(result, [record], told)
        else:
            _deliver(records(), settings, result, told)
    _print(result, as_json=json_)
    if result.refused:
        raise typer.Exit(1)


def _require(file: Path, asked: dict[str, Any]) -> None:
    """Refuse a file that cannot be read, and options that are absent, before anything is sent."""
    from monitor.cli.tables import KINDS

    if not file.is_file():
        raise MissingFile(f"there is no file {file}")
    if file.suffix.lower() not in KINDS:
        raise MissingFile(f"{file}: only {', '.join(KINDS)} files are read")
    if file.suffix.lower() in _EVENTS:
        if asked["timestamp"] or asked["prediction"]:
            raise ConfigError(
                "--timestamp" if asked["timestamp"] else "--prediction", "command line",
                asked["timestamp"] or asked["prediction"],
                f"no columns for {file}, whose lines are events as they are",
            )  # fmt: skip
        return
    missing = [name for name in _NEEDED if not asked[name]]
    if missing:
        options_ = " ".join(f"--{name} {_NEEDED[name][0]}" for name in missing)
        example = " ".join(
            f"--{name} {shlex.quote(asked[name] or given)}" for name, (_, given) in _NEEDED.items()
        )
        typer.echo(
            f"driftline: the rows of {file} do not say what they are: add {options_}\n"
            f"for example: {command('log')} {shlex.quote(str(file))} {example}",
            err=True,
        )
        raise typer.Exit(2)


def _records_of_rows(file: Path, asked: dict[str, Any], timezone: str) -> Iterator[Record]:
    from driftline.frames import records
    from monitor.cli.tables import read

    try:
        table = read(file, timestamp=asked["timestamp"])
        yield from records(table.frame, timezone=timezone, **asked)
    except InvalidFrame as error:
        words = str(error)
        raise InvalidFrame(words if str(file) in words else f"{file}: {words}") from error


def _records_of_events(file: Path, result: Result) -> Iterator[Record]:
    """The good lines as records; what is wrong with the others goes into the result."""
    from driftline.admissible import batched, check_lines

    def good() -> Iterator[bytes]:
        for lines in _chunks(file):
            found = check_lines(lines, time.time_ns() // 1_000_000)
            result.refused.update(fault.reason for fault in found.faults)
            room = FAULTS_TOLD - len(result.faults)
            result.faults += [
                {"file": str(file), **asdict(fault)} for fault in found.faults[: max(0, room)]
            ]
            yield from found.lines

    yield from batched(good())


def _chunks(file: Path) -> Iterator[list[tuple[int, bytes]]]:
    chunk: list[tuple[int, bytes]] = []
    number = 0
    try:
        with file.open("rb") as stream:
            while line := stream.readline(_LONGEST):
                number += 1
                # The rest of a line that is too long for any event; what was read says so.
                rest = line
                while not rest.endswith(b"\n") and len(rest) == _LONGEST:
                    rest = stream.readline(_LONGEST)
                if line.strip():
                    chunk.append((number, line.rstrip(b"\r\n")))
                if len(chunk) >= CHUNK:
                    yield chunk
                    chunk = []
    except OSError as error:
        raise InvalidFrame(f"{file} cannot be read: {error.strerror or error}") from error
    if chunk:
        yield chunk


def _deliver(
    records: Iterator[Record], settings: Any, result: Result, told: Callable[[int], None]
) -> None:
    from driftline.delivering import Delivery
    from monitor.brokers import client_options

    def write(together: list[Record]) -> None:
        try:
            delivery.deliver(together)
        except StreamError as error:
            before = f"; {result.events:,} events were written before" if result.events else ""
            mend = " with --kafka HOST:PORT" if "or name yours" in str(error) else ""
            raise type(error)(f"{error}{mend}{before}") from error
        _count(result, together, told)

    with Delivery(
        settings.text("kafka.bootstrap"),
        settings.text("kafka.topic"),
        kafka=client_options(settings),
        timeout_s=30.0,
    ) as delivery:
        together: list[Record] = []
        for record in records:
            together.append(record)
            if len(together) >= TOGETHER:
                write(together)
                together = []
        if together:
            write(together)


def _count(result: Result, records: list[Record], told: Callable[[int], None]) -> None:
    n = sum(record.rows for record in records)
    result.events += n
    result.records += len(records)
    told(n)


@contextmanager
def _progress(files: list[Path]) -> Iterator[Callable[[int], None]]:
    """Say how far it is, to a person at a terminal."""
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f} events"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(files[0].name if len(files) == 1 else f"{len(files)} files", total=None)
        yield lambda n: bar.advance(task, n)


def _print(result: Result, *, as_json: bool, is_strict: bool = False) -> None:
    for fault in result.faults:
        detail = f": {fault['detail']}" if fault["detail"] else ""
        typer.echo(f"{fault['file']}:{fault['line']}: {fault['reason']}{detail}", err=True)
    n_refused = sum(result.refused.values())
    if n_refused > len(result.faults):
        typer.echo(f"and {n_refused - len(result.faults):,} more lines", err=True)
    if as_json:
        told = asdict(result)
        told["refused"] = dict(result.refused)
        told["dry_run"] = told.pop("is_dry_run")
        options.echo(json.dumps(told))
        return
    done = "would be written" if result.is_dry_run else "written"
    line = f"{result.events:,} events {done} to {result.topic}, in {result.records:,} records"
    if n_refused:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in result.refused.most_common())
        line += f"; {n_refused:,} lines refused ({reasons})"
    if is_strict:
        line += "; nothing was written (--strict)"
    options.echo(line)
