"""What `calibrate` returns: a row for each feature, window length and size, that print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from driftline.calibrating.trial import MISSING, SHIFTS, Size, Trial
from driftline.errors import DriftlineError
from driftline.stats.calibration import MIN_ROWS, MIN_ROWS_PSI
from driftline.stats.gridset import FeatureGrid
from driftline.stats.lengths import LENGTHS, SPAN, WORDS, in_words
from driftline.stats.names import NAMES
from driftline.stats.reference import Reference
from driftline.stats.rule import Rule
from driftline.stats.season import Season
from driftline.stats.words import number, percent, points

if TYPE_CHECKING:
    import pandas

SEASONS: Final = {
    Season.NONE: "none",
    Season.WEEKEND: "weekend",
    Season.HOUR: "hour",
    Season.HOUR_WEEKEND: "hour and weekend",
}
# From so many false episodes a month on, or while one is open so often, a feature is worth a
# word: one a year is not.
_NOISY: Final = 1 / 12
_OFTEN_OPEN: Final = 0.05


@dataclass(frozen=True)
class CalibrationRow:
    """One feature in windows of one length and size.

    Attributes
    ----------
    feature
    kind
        numeric, categorical, or presence where only missing values are watched.
    length
        hour, day, week or 4weeks.
    n, is_usual
        Rows of a typical window, and whether it is the size that the data's own windows have.
    slices
        Full windows of this length in the data.
    season
        none, weekend, hour, or hour and weekend: what a window is compared with.
    limit
        What PSI must exceed for a warning in a typical window; None where PSI is not judged.
    false_episodes_per_month, low, high
        Expected while nothing is wrong, and an interval of 95 %.
    open_share
        Share of the windows during which such an episode is open.
    seen_episodes
        Episodes of the data's own windows, in their order; None for other sizes.
    smallest_shift
        In sigma, whose true PSI reaches the limit; None where none does.
    smallest_missing
        Rise of the share of missing values that is told, as a share; None where none is.
    delay
        {0.2: ..., 0.35: ..., 0.5: ..., 0.75: ...} Windows until a shift of so many sigma is told
        in half of all cases; None where it never is in half of them.
    missing_delay
        {2: ..., 5: ..., 10: ...} The same of so many points more missing values.
    blind
        PSI cannot exceed its limit.
    why
        One sentence.
    """

    feature: str
    kind: str
    length: str
    n: int
    is_usual: bool
    slices: int
    season: str
    limit: float | None
    false_episodes_per_month: float
    low: float
    high: float
    open_share: float
    seen_episodes: int | None
    smallest_shift: float | None
    smallest_missing: float | None
    delay: dict[float, float | None]
    missing_delay: dict[int, float | None]
    blind: bool
    why: str


COLUMNS: Final = tuple(field.name for field in fields(CalibrationRow))


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationReport:
    """What the rule would tell of the data, feature by feature; iterate over it for the rows.

    Attributes
    ----------
    rows
        By window length, then in the data's order, the smallest windows first.
    notes
        What the user should know of the data.
    seen_months
        {length: months} that the data's own windows span.
    reference
        The counts that were tried; `Client` registers the same from the same data.
    rule, seed, months
        As they were given.
    """

    rows: tuple[CalibrationRow, ...]
    notes: tuple[str, ...]
    seen_months: dict[str, float]
    reference: Reference
    rule: Rule
    seed: int
    months: int

    def __iter__(self) -> Iterator[CalibrationRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[str, str]) -> CalibrationRow:
        """The row of a feature and a length, at the data's own size of windows.

        Raises
        ------
        KeyError
            There is none of these names.
        """
        for row in self.usual():
            if (row.feature, row.length) == key:
                return row
        raise KeyError(key)

    def usual(self, length: str | None = None) -> tuple[CalibrationRow, ...]:
        """The rows of the data's own size of windows, of one length or all."""
        return tuple(row for row in self.rows if row.is_usual and length in (None, row.length))

    @property
    def lengths(self) -> tuple[str, ...]:
        """The lengths that were tried, the shortest first."""
        return tuple(name for name in LENGTHS if name in self.seen_months)

    @property
    def blind(self) -> tuple[CalibrationRow, ...]:
        """The rows, at the data's own size, whose PSI cannot exceed its limit."""
        return tuple(row for row in self.usual() if row.blind)

    def false_episodes_per_month(self, length: str) -> float:
        """Expected false episodes a month of all features together, in windows of a length."""
        return float(sum(row.false_episodes_per_month for row in self.usual(length)))

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries of plain values, ready for JSON; what is not known is None."""
        made = []
        for row in self.rows:
            plain = asdict(row)
            for name in ("delay", "missing_delay"):
                plain[name] = {str(by): took for by, took in plain[name].items()}
            made.append(plain)
        return made

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a data frame; each delay is a column, as in `delay_0.5`.

        Raises
        ------
        DriftlineError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise DriftlineError("to_pandas() needs pandas: pip install pandas") from error
        flat = []
        for row in self.to_dicts():
            delays = {
                f"{name}_{by}": took
                for name in ("delay", "missing_delay")
                for by, took in row.pop(name).items()
            }
            why = row.pop("why")
            flat.append({**row, **delays, "why": why})
        frame = pd.DataFrame(flat)
        floats = [
            name
            for name in frame.columns
            if name in ("limit", "seen_episodes")
            or name.startswith(("smallest", "delay", "missing"))
        ]
        return frame.astype(dict.fromkeys(floats, "float64"))

    def to_svg(self) -> str:
        """A picture: what each feature shows and tells, by window length."""
        from driftline.calibrating import picture

        return picture.svg(self)

    def to_html(self) -> str:
        """A whole page that stands alone, with the picture: no script, no request to anywhere."""
        from driftline.calibrating import page

        return page.whole(self)

    def __repr__(self) -> str:
        from driftline.calibrating import text

        return text.table(self, width=shutil.get_terminal_size().columns)

    def _repr_html_(self) -> str:
        from driftline.calibrating import page

        return page.fragment(self)


def is_noisy(row: CalibrationRow) -> bool:
    """Whether a feature tells falsely more than once a year, or hardly stops."""
    return row.false_episodes_per_month >= _NOISY or row.open_share >= _OFTEN_OPEN


def rows_of(
    reference: Reference, trials: Sequence[Trial], rule: Rule
) -> tuple[CalibrationRow, ...]:
    """Read the rows off what came of each length."""
    return tuple(
        _row(trial, size, place == trial.usual, feature, f, rule)
        for trial in trials
        for f, feature in enumerate(reference.gridset.features)
        for place, size in enumerate(trial.sizes)
    )


def rough(reference: Reference, trials: Sequence[Trial]) -> list[str]:
    """Return a note on the features whose episodes of values out of range are a rough figure.

    A slice that is left out is judged by tolerances of the others, whose values out of range
    were counted with it there: without it the next most extreme one would have some, and its
    tolerance would be wider. The counts of slices cannot tell how many.
    """
    names = reference.gridset.names()
    found = {
        name
        for trial in trials
        for f, name in enumerate(names)
        if trial.sizes[trial.usual].noisiest[f] == "out_of_range"
    }
    if not found:
        return []
    told = ", ".join(name for name in names if name in found)
    return [
        f"values out of range of {told}: how often they are told falsely is a rough figure, too "
        "high where windows do not hang on one another; they alarm where PSI is blind or not "
        "judged, and the data's own episodes are the better guide"
    ]


def _row(
    trial: Trial, size: Size, is_usual: bool, feature: FeatureGrid, f: int, rule: Rule
) -> CalibrationRow:
    shift = _float(size.smallest_shift[f])
    has_sigma = feature.n_groups > 1 and feature.kind != "presence"
    delays = [_float(took) for took in size.delays[:, f]]
    return CalibrationRow(
        feature=feature.name,
        kind=feature.kind,
        length=trial.length,
        n=size.rows,
        is_usual=is_usual,
        slices=trial.slices,
        season=SEASONS[Season(int(trial.calibration.season[f]))],
        limit=_float(size.limit[f]),
        false_episodes_per_month=_float(size.false[f]) or 0.0,
        low=_float(size.low[f]) or 0.0,
        high=_float(size.high[f]) or 0.0,
        open_share=_float(size.open_share[f]) or 0.0,
        seen_episodes=int(trial.seen[f]) if is_usual else None,
        smallest_shift=shift,
        smallest_missing=_float(size.smallest_missing[f]),
        delay=dict(zip(SHIFTS, delays if has_sigma else [None] * len(SHIFTS), strict=False)),
        missing_delay=dict(
            zip((round(100 * by) for by in MISSING), delays[len(SHIFTS) :], strict=True)
        ),
        blind=bool(size.is_blind[f]),
        why=_why(trial, size, feature, f),
    )


def _why(trial: Trial, size: Size, feature: FeatureGrid, f: int) -> str:
    """What is false, what is seen, what is not: one sentence."""
    return "; ".join([_false(trial, size, f), _seen(trial, size, feature, f)])


def _false(trial: Trial, size: Size, f: int) -> str:
    many = WORDS[trial.length][1]
    rate = float(size.false[f])
    if rate == 0:
        return "no false episode"
    every = f"{number(rate)} false episodes a month" if rate >= 1 else _every(1 / rate)
    said = f"{every}, most of them of its {NAMES[size.noisiest[f]].noun}"
    if size.open_share[f] >= _OFTEN_OPEN:
        said += f", open during {percent(float(size.open_share[f]), 0)} of the {many}"
    return said


def _every(months: float) -> str:
    """How rare: one in so long.

    Examples
    --------
    >>> _every(1.44), _every(40.0)
    ('one false episode in 1.4 months', 'one false episode in 3.3 years')
    """
    long = f"{months:.1f} months" if months < 24 else f"{months / 12:.1f} years"
    return f"one false episode in {long}"


def _seen(trial: Trial, size: Size, feature: FeatureGrid, f: int) -> str:
    many = WORDS[trial.length][1]
    rise = _float(size.smallest_missing[f])
    missing = (
        f"missing values are told from {points(rise)} more"
        if rise is not None
        else _no_missing(trial, size, f)
    )
    if feature.kind == "presence":
        return missing
    if size.is_blind[f]:
        return (
            f"blind: its own {many} differ so much that PSI would have to exceed "
            f"{number(float(size.limit[f]))}, which it cannot; {missing}"
        )
    if feature.n_groups < 2:
        return f"always the same here, so PSI has nothing to judge; {missing}"
    if np.isnan(size.limit[f]):
        return f"{_too_few(trial, size, f)}; {missing}"
    shift = _float(size.smallest_shift[f])
    seen = "no shift reaches its limit" if shift is None else f"sees shifts from {shift:.2f} sigma"
    return f"{seen}; {missing}"


def _no_missing(trial: Trial, size: Size, f: int) -> str:
    if np.isnan(size.missing_limit[f]):
        return f"missing values are judged from {MIN_ROWS['missing']} rows in {SPAN[trial.length]}"
    return "no rise of missing values is told: they differ as much by themselves"


def _too_few(trial: Trial, size: Size, f: int) -> str:
    one, many = WORDS[trial.length]
    if np.isnan(trial.calibration.tau2[f]):
        return f"PSI is not judged: fewer than 8 {many} have {MIN_ROWS_PSI} values"
    return (
        f"PSI is judged from {MIN_ROWS_PSI} values, and a typical {one} would have "
        f"{int(size.values[f]):,}"
    )


def _float(value: Any) -> float | None:
    """A number with six digits: more are no news; None for NaN."""
    return None if np.isnan(value) else float(f"{float(value):.6g}")


def slices_words(report: CalibrationReport, length: str) -> str:
    """What windows of a length the data has, in words."""
    return in_words(next(iter(report.usual(length))).slices, length, "full")
