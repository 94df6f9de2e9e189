"""`driftline compare`: two files of rows, judged without a server; for CI jobs and batches."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from driftline.errors import DriftlineError, MissingExtra
from monitor.cli import columns, options

if TYPE_CHECKING:
    from driftline import Comparison

# Rows shown without --all: a screen.
_SHOWN: Final = 20
# Of a log file, where no screen says its own.
_WIDTH: Final = 120


class FailOn(StrEnum):
    """The verdicts that a job may fail on."""

    warning = "warning"
    critical = "critical"


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The reference: Parquet, CSV or NDJSON.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What is held against it.")],
    prediction: columns.Prediction = None,
    score: columns.Score = None,
    class_score: columns.ClassScore = None,
    label: columns.Label = None,
    timestamp: columns.Timestamp = None,
    timezone: columns.Timezone = "UTC",
    feature: columns.Feature = None,
    exclude: columns.Exclude = None,
    categorical: columns.Categorical = None,
    exclude_slice: columns.ExcludeSlice = None,
    length: Annotated[
        columns.Length | None,
        typer.Option(help="Judge B as one of these; by default as what it spans."),
    ] = None,
    profile: columns.Sensitivity = columns.Profile.standard,
    limit: columns.FixedLimits = None,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit with 1 where a verdict is this or worse.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page that stands alone.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show every feature.")] = False,
    json_: options.AsJson = False,
) -> None:
    """Judge the rows of file B against file A, without a server.

    Every feature is held against its own grid, limit and natural wobble, as
    the service would judge one window. With --timestamp the limits know how
    A's own hours, days and weeks differ from each other.

        driftline compare january.parquet july.parquet --timestamp time

        driftline compare trained-on.csv today.csv --fail-on critical

    NDJSON may hold flat rows, or events as they were logged.

    Exit codes: 0 done, 1 a verdict of --fail-on was reached, 2 the files or
    the options are wrong.
    """
    try:
        found = _compared(
            a,
            b,
            prediction=prediction,
            score=score,
            label=label,
            timestamp=timestamp,
            timezone=timezone,
            features=feature,
            exclude=tuple(exclude or ()),
            categorical=tuple(categorical or ()),
            exclude_slices=tuple(exclude_slice or ()),
            class_scores=columns.by_class(class_score or ()),
            length=None if length is None else length.value,
            profile=profile.value,
            limits=tuple(limit or ()),
        )
        found = replace(found, notes=tuple(map(options.as_options, found.notes)))
        if html is not None:
            html.write_text(found.to_html(), encoding="utf-8")
    except MissingExtra:
        raise
    except DriftlineError as error:
        _refuse(options.as_options(str(error)))
    except OSError as error:
        _refuse(f"{html} cannot be written: {error.strerror or error}")
    rule = {"profile": profile.value, "limits": list(limit or ())}
    _print(found, rule, show_all=show_all, as_json=json_)
    worse = {FailOn.warning: ("warning", "critical"), FailOn.critical: ("critical",)}
    if fail_on is not None and found.verdict in worse[fail_on]:
        raise typer.Exit(1)


def _refuse(why: str) -> NoReturn:
    """One line and 2: to a job, 1 says that something drifted."""
    typer.echo(f"driftline: {' '.join(why.split())}", err=True)
    raise typer.Exit(2)


def _compared(
    a: Path,
    b: Path,
    *,
    prediction: str | None,
    score: str | None,
    timestamp: str | None,
    label: str | None,
    length: str | None,
    profile: str,
    limits: tuple[str, ...],
    class_scores: dict[str, str],
    **how: Any,
) -> Comparison:
    from driftline.comparing import compare
    from driftline.comparing import profile as counted
    from driftline.comparing.limits import rule_of
    from driftline.events import PREDICTION, SCORE, SCORES_PREFIX
    from monitor.cli import tables

    rule_of(profile, limits)  # before files are read
    left = tables.read(a, timestamp=timestamp)
    prediction, score, timestamp = left.outputs(prediction, score, timestamp)
    scores = left.class_scores(class_scores)
    reference = counted(
        left.frame,
        prediction=prediction,
        score=score,
        scores=scores,
        label=label,
        timestamp=timestamp,
        **how,
    )
    outputs = {PREDICTION: prediction, SCORE: score} | {
        f"{SCORES_PREFIX}{name}": column for name, column in scores.items()
    }
    texts = left.texts()
    right = tables.read(b, timestamp=timestamp, texts=texts)
    if right.is_events:
        own = {**outputs, "time": timestamp}
        right = right.renamed({name: other for name, other in own.items() if other is not None})
    # What A has and nobody asked for is no news in B.
    asked = {*reference.gridset.names(), *outputs.values(), timestamp, label}
    right = right.without([name for name in left.names if name not in asked])
    feature_of = {column: name for name, column in outputs.items() if column}
    numeric = {grid.name for grid in reference.gridset.features if grid.kind == "numeric"}
    right = right.with_numbers(
        [name for name in right.names if feature_of.get(name, name) in numeric]
    )
    return compare(
        reference,
        right.frame,
        prediction=prediction,
        score=score,
        scores=scores,
        label=label,
        timestamp=timestamp,
        length=length,
        profile=profile,
        limits=limits,
    )


def _print(found: Comparison, rule: dict[str, Any], *, show_all: bool, as_json: bool) -> None:
    from driftline.comparing import text

    if as_json:
        options.echo(
            json.dumps(
                {
                    "verdict": found.verdict,
                    "length": found.length,
                    **rule,
                    "rows_reference": found.reference.rows,
                    "rows_current": found.current.rows,
                    "features": found.to_dicts(),
                    "notes": list(found.notes),
                }
            )
        )
        return
    is_screen = sys.stdout.isatty()
    options.echo(
        text.table(
            found,
            width=shutil.get_terminal_size(fallback=(_WIDTH, 0)).columns,
            most=None if show_all else _SHOWN,
            is_cut=False,
            is_coloured=is_screen and not os.environ.get("NO_COLOR"),
        )
    )
