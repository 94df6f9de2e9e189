"""What the columns of a file are, as options of the verbs that make a reference of one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

OFTEN = "may be given several times"

Prediction = Annotated[str | None, typer.Option(help="Column of the prediction.")]
Score = Annotated[str | None, typer.Option(help="Column of its score.")]
ClassScore = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS=COLUMN", help=f"Column of one class's score; {OFTEN}."),
]
Label = Annotated[str | None, typer.Option(help="Column of the outcome.")]
Timestamp = Annotated[str | None, typer.Option(help="Column of the event time.")]
Importance = Annotated[
    list[str] | None,
    typer.Option(metavar="FEATURE=NUMBER", help=f"How much the model hangs on it; {OFTEN}."),
]
Timezone = Annotated[str, typer.Option(help="IANA time zone of the model's days.")]
Feature = Annotated[list[str] | None, typer.Option(help=f"Take these only; {OFTEN}.")]
Exclude = Annotated[list[str] | None, typer.Option(help=f"Leave out; {OFTEN}.")]
Categorical = Annotated[list[str] | None, typer.Option(help=f"No number; {OFTEN}.")]
ExcludeSlice = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DATE|START/END",
        help=f"Local day or stretch of the reference that was no usual one: not counted; {OFTEN}.",
    ),
]
FixedLimits = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE:STATISTIC=WARNING[,CRITICAL]",
        help="A fixed limit in the place of the learnt one, such as temp:ks=0.15,0.3 or "
        f"'*:missing=0.05'; {OFTEN}.",
    ),
]


class Length(StrEnum):
    """What rows may be judged as."""

    hour = "hour"
    day = "day"
    week = "week"
    four_weeks = "4weeks"


class Profile(StrEnum):
    """How sensitive the rule is."""

    quiet = "quiet"
    standard = "standard"
    sensitive = "sensitive"


Sensitivity = Annotated[Profile, typer.Option(help="Sensitivity.")]


def by_class(given: Sequence[str]) -> dict[str, str]:
    """Class -> column; a class may hold "=", a column may not.

    Examples
    --------
    >>> by_class(["late=p_late", "a=b=p"])
    {'late': 'p_late', 'a=b': 'p'}
    """
    return _pairs(given, "--class-score", "class", "CLASS=COLUMN")


def by_feature(given: Sequence[str]) -> dict[str, float]:
    """Feature -> weight; a feature may hold "=".

    Examples
    --------
    >>> by_feature(["age=2", "a=b=.5"])
    {'age': 2.0, 'a=b': 0.5}
    """
    option = "--importance"
    made: dict[str, float] = {}
    for name, weight in _pairs(given, option, "feature", "FEATURE=NUMBER").items():
        try:
            made[name] = float(weight)
        except ValueError:
            raise typer.BadParameter(
                f"{weight!r} of {name!r} is no number", param_hint=option
            ) from None
    return made


def _pairs(given: Sequence[str], option: str, what: str, form: str) -> dict[str, str]:
    """What stands before the last "=" -> what stands behind it."""
    made: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.rpartition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{pair!r} is not {form}", param_hint=option)
        if name in made:
            raise typer.BadParameter(f"{what} {name!r} is given twice", param_hint=option)
        made[name] = value
    return made
