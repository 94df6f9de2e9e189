"""`driftline reference`: register the data a model was trained on, from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo

import typer

from monitor.cli import access, columns, options
from monitor.cli.connect import Url, connect
from monitor.cli.model import promoted

if TYPE_CHECKING:
    from driftline import Client, Reference
    from driftline.answers import Promotion

app = typer.Typer(help="The data that windows are compared with.", no_args_is_help=True)

# Names of columns in one line.
_SHOWN: Final = 12


@app.command()
def register(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Parquet, CSV or NDJSON; its rows stay here.")
    ],
    model: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    prediction: columns.Prediction = None,
    score: columns.Score = None,
    class_score: columns.ClassScore = None,
    label: columns.Label = None,
    timestamp: columns.Timestamp = None,
    timezone: columns.Timezone = "UTC",
    feature: columns.Feature = None,
    exclude: columns.Exclude = None,
    categorical: columns.Categorical = None,
    segment: Annotated[
        list[str] | None, typer.Option(help=f"Judge by its values; {columns.OFTEN}.")
    ] = None,
    importance: columns.Importance = None,
    exclude_slice: columns.ExcludeSlice = None,
    effective_from: Annotated[
        str | None, typer.Option(help="RFC 3339; replaces from then.")
    ] = None,
    replaces: Annotated[str | None, typer.Option(help="Version that this one replaces.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who is asked about the model.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Count FILE on its own grids and register the counts; no row leaves this process.

    Every column that no option names is a feature:

        driftline reference register trained-on.csv --model churn --version 3
        --prediction class --score score --timestamp at --exclude customer

    Exit codes: 0 done, 1 the file's content or the reference was refused, 2 an
    option or the file is wrong or absent, or no server answers.
    """
    from monitor.cli import tables

    table = tables.read(file, timestamp=timestamp)
    prediction, score, timestamp = table.outputs(prediction, score, timestamp)
    with connect(url, config, token_file) as client:
        with options.named_as_options():
            found = client.register_reference(
                model,
                version,
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
                segments=tuple(segment or ()),
                importance=columns.by_feature(importance or ()) or None,
                exclude_slices=tuple(exclude_slice or ()),
                effective_from=effective_from,
                replaces=replaces,
                owner=owner,
                description=description,
            )
        live = None if replaces is None else _promotion(client, model, version)
    warnings = [options.as_options(warning) for warning in found.warnings]
    if json_:
        options.echo(json.dumps({"digest": found.digest, "warnings": warnings}))
        return
    options.echo(f"{model} {version}: reference {found.digest}")
    outputs = {"prediction": prediction, "score": score, "label": label}
    for line in _taken(found, outputs, timezone):
        options.echo(line)
    if live is not None:
        options.echo(f"  {promoted(live, live.state)}")
    for warning in warnings:
        options.echo(f"warning: {warning}")


def _promotion(client: Client, model: str, version: str) -> Promotion | None:
    """Return the version's last promotion, which registering it made."""
    return next((one for one in client.promotions(model) if one.version == version), None)


def _taken(found: Reference, outputs: Mapping[str, str | None], timezone: str) -> Iterator[str]:
    """What was taken for what, so that a column in the wrong place is seen now."""
    yield f"  rows: {found.rows:,}"
    if found.first is not None and found.last is not None:
        zone = ZoneInfo(timezone)
        first, last = (f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (found.first, found.last))
        yield f"  times: {first} to {last} ({timezone})"
    else:
        yield "  times: none (--timestamp COLUMN)"
    yield f"  features: {len(found.features):,} ({_some(found.features)})"
    for what, column in outputs.items():
        yield f"  {what}: {column or f'none (--{what} COLUMN)'}"
    cut = [f"{name} ({len(values)} values)" for name, values in found.segments.items()]
    yield f"  segments: {_some(cut)}"


def _some(names: Sequence[str]) -> str:
    """The first names.

    Examples
    --------
    >>> _some(["age", "plan"]), _some([])
    ('age, plan', 'none')
    """
    more = len(names) - _SHOWN
    shown = [*names[:_SHOWN], *([f"{more:,} more"] if more > 0 else [])]
    return ", ".join(shown) or "none"
