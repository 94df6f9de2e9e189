"""`driftline calibrate`: a file of rows put through the rule, without a server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from driftline.errors import InvalidFrame
from monitor.cli import columns, options

if TYPE_CHECKING:
    from driftline import CalibrationReport

# Features shown of each window length without --all: a screen.
_SHOWN: Final = 20
# Of a log file, where no screen says its own.
_WIDTH: Final = 120
PICTURES: Final = (".svg", ".html")


def calibrate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Parquet, CSV or NDJSON; its rows stay here.")
    ],
    prediction: columns.Prediction = None,
    score: columns.Score = None,
    class_score: columns.ClassScore = None,
    label: columns.Label = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time; needed.")] = None,
    timezone: columns.Timezone = "UTC",
    feature: columns.Feature = None,
    exclude: columns.Exclude = None,
    categorical: columns.Categorical = None,
    exclude_slice: columns.ExcludeSlice = None,
    length: Annotated[
        list[columns.Length] | None,
        typer.Option(help=f"Windows to try; {columns.OFTEN}. All but 4weeks."),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(help=f"Rows of a window to try beside the file's own; {columns.OFTEN}."),
    ] = None,
    profile: columns.Sensitivity = columns.Profile.standard,
    limit: columns.FixedLimits = None,
    months: Annotated[int, typer.Option(min=1, help="Months in each simulated stretch.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws; the same draws again.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Write a picture (.svg), or a page with it (.html).")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show every feature.")] = False,
    json_: options.AsJson = False,
) -> None:
    """Say what the rule would tell of FILE: falsely, late, or never.

    Months are put together from the file's own hours, days and weeks: every
    episode in them is a false one. Then every feature is shifted and values
    are taken away, to see after how many windows that is told.

        driftline calibrate trained-on.parquet --timestamp at

        driftline calibrate january.csv --timestamp time --picture january.html

    Exit codes: 0 done, 1 the file's content was refused, 2 an option or the
    file is wrong or absent.
    """
    from driftline.calibrating import calibrate as run
    from monitor.cli import tables

    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise typer.BadParameter(
            f"a picture is {' or '.join(PICTURES)}, not {picture.name}", param_hint="--picture"
        )
    if picture is not None and not picture.absolute().parent.is_dir():
        raise typer.BadParameter(
            f"there is no directory {picture.absolute().parent}", param_hint="--picture"
        )
    table = tables.read(file, timestamp=timestamp)
    prediction, score, timestamp = table.outputs(prediction, score, timestamp)
    with _progress() as progress, options.named_as_options():
        found = run(
            table.frame,
            prediction=prediction,
            score=score,
            scores=table.class_scores(columns.by_class(class_score or ())),
            label=label,
            timestamp=timestamp,
            timezone=timezone,
            features=feature,
            exclude=tuple(exclude or ()),
            categorical=tuple(categorical or ()),
            exclude_slices=tuple(exclude_slice or ()),
            lengths=[name.value for name in length] if length else None,
            sizes=size,
            profile=profile.value,
            limits=tuple(limit or ()),
            months=months,
            seed=seed,
            progress=progress,
        )
    found = replace(found, notes=tuple(map(options.as_options, found.notes)))
    if picture is not None:
        drawn = found.to_svg() if picture.suffix.lower() == ".svg" else found.to_html()
        try:
            picture.write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise InvalidFrame(f"{picture} cannot be written: {error.strerror or error}") from error
    _print(found, show_all=show_all, as_json=json_)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, and nothing in a log."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("judging", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(found: CalibrationReport, *, show_all: bool, as_json: bool) -> None:
    from driftline.calibrating import text

    if as_json:
        options.echo(
            json.dumps(
                {
                    "rows": found.reference.rows,
                    "profile": found.rule.profile,
                    "limits": [asdict(limit) for limit in found.rule.limits],
                    "months": found.months,
                    "seed": found.seed,
                    "seen_months": found.seen_months,
                    "false_episodes_per_month": {
                        length: found.false_episodes_per_month(length) for length in found.lengths
                    },
                    "features": found.to_dicts(),
                    "notes": list(found.notes),
                }
            )
        )
        return
    options.echo(
        text.table(
            found,
            width=shutil.get_terminal_size(fallback=(_WIDTH, 0)).columns,
            most=None if show_all else _SHOWN,
            is_coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        )
    )
