"""Frames: from columns of pandas, polars or pyarrow to columns and grids.

The only module of the core that touches a data frame, always through narwhals; none of
the three libraries is imported here. It decides what kind of feature a column is and says
so when the answer is not the obvious one.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from decimal import Decimal
from heapq import nlargest
from typing import Any, Final, cast

import narwhals as nw
import numpy as np
from narwhals.exceptions import NarwhalsError
from numpy.typing import NDArray

from driftline.errors import DriftlineError, InvalidReference
from driftline.stats.category_column import read_categories
from driftline.stats.grid import (
    MAX_CATEGORIES,
    NAMED_GROUPS,
    canonical,
    categorical_grid,
    categorical_groups,
    grid_of_counts,
    numeric_groups,
)
from driftline.stats.gridset import FeatureGrid, Kind
from driftline.stats.plain_frame import PlainFrame
from driftline.stats.profile import Column, State, canonical_category
from driftline.stats.slicing import local_to_utc_ms

MAX_NAME: Final = 200
# Identifiers and texts differ nearly from row to row; fewer distinct values prove nothing, but
# where nearly every row has another one.
MANY: Final = 100
FEW: Final = 20
NEARLY_ALL: Final = 0.9
MANY_INTEGERS: Final = 1_000
# PSI has groups for the most frequent categories alone: where they hold less, it sees little.
FEW_HOLD: Final = 0.5
TEXT_SPACES: Final = 4.0
TEXT_LENGTH: Final = 64.0
# Times outside 2000-2100 are no event times (most often seconds taken for milliseconds).
FIRST_MS: Final = 946_684_800_000
LAST_MS: Final = 4_102_444_800_000
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?\Z")
# What a number beyond float64 becomes: it lands in the overflow bin.
_HUGE: Final = 1.7e308
# Types of pyarrow that narwhals does not know, and what they are the same as.
_SAME_AS: Final = (("date64", "date32[day]"), ("decimal", "double"))

Frame = nw.DataFrame[Any]
Series = nw.Series[Any]


@dataclass(frozen=True)
class Feature:
    """A column of the frame with its grid.

    Attributes
    ----------
    warning : str or None
        What a user should know of it.
    mend : str or None
        The option that mends what is warned of.
    """

    grid: FeatureGrid
    column: Column
    warning: str | None = None
    mend: str | None = None


def open_frame(frame: Any, what: str = "the reference") -> Frame:
    """The frame as narwhals sees it; a mapping of columns is one, too.

    Raises
    ------
    InvalidReference
        When it is no frame, has no rows, or has a column name twice.
    """
    if isinstance(frame, Mapping):
        frame = PlainFrame(frame, what)
        _check_names(frame.columns)
        if not len(frame):
            raise InvalidReference(f"{what} has no rows")
        return cast(Frame, frame)
    names = getattr(frame, "column_names", getattr(frame, "columns", None))
    if names is not None and not callable(names):
        _check_names(list(names))
    try:
        opened: Frame = nw.from_native(frame, eager_only=True)
    except (TypeError, NarwhalsError) as error:
        raise InvalidReference(
            f"{what} must be a pandas or polars DataFrame or a pyarrow Table, "
            f"not {type(frame).__name__}"
        ) from error
    if not len(opened):
        raise InvalidReference(f"{what} has no rows")
    return opened


def _check_names(names: list[Any]) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidReference(f"column names must be non-empty strings, not {name!r}")
        if len(name) > MAX_NAME:
            raise InvalidReference(
                f"column name {name[:40]!r}... is longer than {MAX_NAME} characters"
            )
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise InvalidReference(f"column {name!r} appears {times} times: names must be unique")


def pick(frame: Frame, names: Iterable[str | None], argument: str) -> list[str]:
    """The named columns; None names none.

    Raises
    ------
    InvalidReference
        When the frame lacks one, with the nearest name.
    """
    picked = []
    for name in names:
        if name is None:
            continue
        if name not in frame.columns:
            near = difflib.get_close_matches(str(name), frame.columns, 1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise InvalidReference(f"{argument}: there is no column {name!r}{hint}")
        picked.append(name)
    return picked


def take(frame: Frame, rows: NDArray[np.intp]) -> Frame:
    """These rows of a frame, in this order."""
    opened: Any = frame
    return cast(Frame, opened.take(rows) if isinstance(opened, PlainFrame) else opened[rows])


def column_of(frame: Frame, name: str) -> Series:
    """One column, with a type that narwhals knows where it can be helped to one."""
    series = frame[name]
    if series.dtype != nw.Unknown:
        return series
    native = series.to_native()
    # pyarrow's columns have no dtype.
    dtype = getattr(native, "dtype", None)
    if getattr(dtype, "tz", None) is not None:
        # narwhals [2.29] reads pandas' zones without underscores and digits only, so
        # America/New_York is unknown to it. The instants are the same in UTC.
        return nw.from_native(native.dt.tz_convert("UTC"), series_only=True)
    for kind, known in _SAME_AS:
        if type_of(series).startswith(kind):
            cast = native.cast(known) if dtype is None else native.astype(f"{known}[pyarrow]")
            return nw.from_native(cast, series_only=True)
    return series


def type_of(series: Series) -> str:
    """The name of a column's type, the library's own where narwhals has none."""
    dtype: Any = series.dtype
    if dtype == nw.Unknown:
        native = series.to_native()
        dtype = native.dtype if hasattr(native, "dtype") else native.type
    text = str(dtype)
    # The type of a struct names all of its fields.
    return text if len(text) <= 100 else text[:97] + "..."


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Say which column it is that its library cannot read.

    Raises
    ------
    InvalidReference
        For every error that is none of ours.
    """
    try:
        yield
    except DriftlineError:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidReference(
            f"column {name!r} cannot be read ({said[:200]}): leave it out, or convert it to "
            "numbers, strings or datetimes"
        ) from error


def read_feature(
    series: Series, name: str, *, is_category: bool = False, is_forced: bool = False
) -> Feature:
    """Decide a column's kind and make its grid.

    Parameters
    ----------
    is_category : bool
        Integral numbers are categories.
    is_forced : bool
        The user asked for this column: identifiers and free text are profiled too.
    """
    feature = _read_feature(series, name, is_category, is_forced)
    # Who asked for a column knows it.
    if is_forced or feature.warning is None or feature.mend is None:
        return feature
    return replace(feature, warning=f"{feature.warning} ({feature.mend})")


def _read_feature(series: Series, name: str, is_category: bool, is_forced: bool) -> Feature:
    is_null = series.is_null().to_numpy().astype(np.bool_)
    if is_null.all():
        return _presence(name, is_null, "has no value in any row")
    dtype = series.dtype
    if dtype.is_numeric() and not is_category:
        return _numeric(name, _floats(series, is_null), is_null, dtype.is_integer(), is_forced)
    if isinstance(dtype, nw.Enum) or dtype == nw.Categorical:
        return _categorical(name, series, is_null, is_forced)
    if dtype == nw.Object:
        return _objects(name, series, is_null, is_category, is_forced)
    if not (dtype in (nw.String, nw.Boolean) or dtype.is_numeric()):
        is_time = isinstance(dtype, nw.Datetime) or dtype == nw.Date
        mend = _as_times(name) if is_time else None
        return _presence(name, is_null, f"is of type {type_of(series)}", mend)
    return _categorical(name, series, is_null, is_forced)


def _objects(
    name: str, series: Series, is_null: NDArray[np.bool_], is_category: bool, is_forced: bool
) -> Feature:
    """A column of Python objects is what its values are."""
    values = series.to_list()
    present = [value for value, null in zip(values, is_null.tolist(), strict=True) if not null]
    if not is_category and all(map(_is_number, present)):
        x = np.zeros(len(values))
        x[~is_null] = [_float(value) for value in present]
        return _numeric(name, x, is_null, False, is_forced)
    if all(canonical_category(value) is None for value in present):
        return _presence(name, is_null, f"holds values of type {type(present[0]).__name__}")
    return _categorical(name, series, is_null, is_forced)


def _is_number(value: object) -> bool:
    numbers = (int, float, Decimal, np.integer, np.floating)
    return isinstance(value, numbers) and not isinstance(value, bool)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return _HUGE if value > 0 else -_HUGE
    except ValueError:  # a signaling NaN of Decimal
        return float("nan")


def _presence(
    name: str, is_null: NDArray[np.bool_], reason: str, mend: str | None = None
) -> Feature:
    grid = FeatureGrid(name, "presence", None, np.empty(0, np.int32))
    warning = f"{name!r} {reason}: only its presence is watched"
    return Feature(grid, Column(None, _state(is_null)), warning, mend or _leave_out(name))


def _as_times(name: str) -> str:
    return f"timestamp={name!r} if it says when a row happened; {_leave_out(name)}"


def _leave_out(name: str) -> str:
    return f"exclude=[{name!r}] leaves it out"


def _state(is_null: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    if not is_null.any():
        return None
    state: NDArray[np.uint8] = np.where(is_null, State.NULL, State.VALUE).astype(np.uint8)
    return state


def _floats(series: Series, is_null: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    if series.dtype.is_decimal() or series.dtype in (nw.Int128, nw.UInt128):
        series = series.cast(nw.Float64())
    if is_null.any():
        series = series.fill_null(0)
    x: NDArray[Any] = np.asarray(series.to_numpy())
    # Floats are looked at where they lie. Integers must not become float32 at once: that
    # rounds otherwise than by way of float64. No cast of the library's own: pyarrow refuses
    # integers above 2^53.
    return x if x.dtype in (np.float64, np.float32) else x.astype(np.float64)


def _numeric(
    name: str,
    x: NDArray[np.floating[Any]],
    is_null: NDArray[np.bool_],
    is_integer: bool,
    is_forced: bool,
) -> Feature:
    column = Column(x, _state(is_null))
    is_finite = np.isfinite(x) & ~is_null
    values = x if is_finite.all() else x[is_finite]
    with_float32 = canonical(values)
    distinct, counts = np.unique(with_float32[np.isfinite(with_float32)], return_counts=True)
    if not len(distinct):
        return _presence(name, is_null, "holds no number that is finite as a float32")
    if is_integer and not is_forced and len(values) >= MANY_INTEGERS:
        span = values.max() - values.min()
        if span < 2 * len(values) and len(np.unique(values)) == len(values):
            return _presence(name, is_null, "looks like an identifier (no integer comes twice)")
    grid = grid_of_counts(distinct, counts)
    until = np.append(0, counts.cumsum())[distinct.searchsorted(grid.lasts, side="right")]
    mass = np.diff(until, prepend=0, append=counts.sum())
    # Beyond float32 is beyond the grid on its side.
    mass[0] += np.count_nonzero(with_float32 == -np.inf)
    mass[-1] += np.count_nonzero(with_float32 == np.inf)
    feature = FeatureGrid(name, "numeric", grid, numeric_groups(grid, mass))
    warning = mend = None
    n_infinite = int(np.isinf(x[~is_null]).sum())
    if grid.low == grid.high:
        warning = (
            f"{name!r} is always {grid.low:g}: what is watched is the share of rows that differ"
        )
        mend = _leave_out(name)
    elif is_integer and (unit := _unit_of_times(values)):
        warning = f"{name!r} looks like times in epoch {unit}: it never stays where it was"
        mend = _as_times(name)
    elif n_infinite:
        warning = (
            f"{name!r} holds {n_infinite:,} infinities: they are counted apart, outside the bins"
        )
    return Feature(feature, column, warning, mend)


def _unit_of_times(values: NDArray[np.floating[Any]]) -> str | None:
    """What integers count since 1970, when all of them would be of the years 2000 to 2099."""
    low, high = float(values.min()), float(values.max())
    if high - low < MANY:
        return None
    for unit, each_ms in (("milliseconds", 1), ("seconds", 1_000)):
        if low * each_ms >= FIRST_MS and high * each_ms < LAST_MS:
            return unit
    return None


def _categorical(name: str, series: Series, is_null: NDArray[np.bool_], is_forced: bool) -> Feature:
    found = read_categories(series)
    counts = found.counts()
    n_values = sum(counts.values())
    if not counts:
        return _presence(name, is_null, "holds no category")
    refuse_surrogates(counts)
    if len(counts) > MAX_CATEGORIES:
        return _presence(name, is_null, f"has {len(counts):,} categories")
    is_dates = all(map(_DATE.match, counts))
    is_many = len(counts) >= MANY or len(counts) >= max(FEW, NEARLY_ALL * n_values)
    if not is_forced and not is_dates and is_many:
        distinct = list(counts)
        length = sum(map(len, distinct)) / len(distinct)
        spaces = sum(value.count(" ") for value in distinct) / len(distinct)
        if spaces >= TEXT_SPACES or length >= TEXT_LENGTH:
            return _presence(name, is_null, "looks like free text")
        if len(counts) > n_values / 2:
            return _presence(
                name,
                is_null,
                f"looks like an identifier ({len(counts):,} categories in {n_values:,} rows)",
            )
    as_times = f"convert it to datetimes and pass {_as_times(name)}"
    if is_dates and not is_forced and len(counts) > max(1, n_values / 2):
        return _presence(name, is_null, "holds dates as text", as_times)
    grid = categorical_grid(counts)
    bin_of = np.fromiter(map(grid.index.__getitem__, counts), np.int64, len(counts))
    tally = np.fromiter(counts.values(), np.int64, len(counts))
    mass = np.bincount(bin_of, weights=tally, minlength=grid.n_bins).astype(np.int64)
    feature = FeatureGrid(name, "categorical", grid, categorical_groups(grid, mass))
    warning = mend = None
    if found.n_wrong:
        warning = (
            f"{name!r} mixes types: {found.n_wrong:,} values are no category and count as "
            "type errors"
        )
    elif len(counts) == 1:
        warning = (
            f"{name!r} is always {next(iter(counts))!r}: what is watched is the share of rows "
            "that differ"
        )
        mend = _leave_out(name)
    elif is_dates:
        warning = f"{name!r} holds dates as text: new ones will all be unseen"
        mend = as_times
    elif grid.is_hashed:
        warning = f"{name!r} has {len(counts):,} categories: they are hashed to 256 buckets"
        most = sum(nlargest(NAMED_GROUPS, counts.values())) / sum(counts.values())
        if most < FEW_HOLD:
            warning += (
                f", and its {NAMED_GROUPS} most frequent hold {most:.0%} of the rows: PSI sees "
                f"little of a change among the others (calibrate with a fixed limit, such as "
                f"{name}:tv=0.3, shows what that would tell)"
            )
    return Feature(feature, Column(found.words, found.state), warning, mend)


def read_column(series: Series, kind: Kind) -> Column:
    """A column for a grid that exists already: what does not fit its kind is a type error.

    The same values give the same counts as in a frame that becomes a reference and in
    events of a log, whatever type the library has for them.
    """
    dtype = series.dtype
    is_category = isinstance(dtype, nw.Enum) or dtype in (
        nw.Categorical,
        nw.String,
        nw.Boolean,
        nw.Object,
    )
    if kind == "categorical" and (is_category or dtype.is_numeric()):
        found = read_categories(series)
        return Column(found.words, found.state)
    if kind == "numeric" and _writes_nulls_as_nan(series):
        return Column(series.to_numpy(), None, State.NULL)
    is_null = series.is_null().to_numpy().astype(np.bool_)
    state = _state(is_null)
    if kind == "presence":
        return Column(None, state)
    if kind == "numeric" and dtype.is_numeric():
        return Column(_floats(series, is_null), state)
    fits = np.zeros(len(is_null), np.bool_)
    x = np.zeros(len(is_null))
    if kind == "numeric" and dtype == nw.Object:
        values = series.to_list()
        fits = np.fromiter(map(_is_number, values), np.bool_, len(values)) & ~is_null
        x[fits] = [_float(values[i]) for i in np.flatnonzero(fits).tolist()]
    state = np.where(is_null, np.uint8(State.NULL), np.uint8(State.TYPE_ERROR))
    state[fits] = State.VALUE
    return Column(x if kind == "numeric" else None, state)


def _writes_nulls_as_nan(series: Series) -> bool:
    """Whether these are floats that have no other null: to look for it would cost a pass."""
    library = getattr(series, "implementation", None)  # a list's has none
    if library is None or not library.is_pandas():
        return False
    dtype = series.to_native().dtype
    return isinstance(dtype, np.dtype) and dtype in (np.float64, np.float32)


def refuse_surrogates(texts: Iterable[str]) -> None:
    """Raise UnicodeEncodeError for half a character, which no digest and no database can hold."""
    "".join(texts).encode()


def read_times(
    series: Series, name: str, zone: tzinfo, timezone: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[str]]:
    """Instants of a time column: epoch ms, which rows have one, warnings.

    Aware times are what they are; naive times and dates are read on the zone's clock;
    integers are epoch milliseconds.

    Raises
    ------
    InvalidReference
        When the column holds no times, or times outside 2000-2100.
    """
    is_null = series.is_null().to_numpy().astype(np.bool_)
    if is_null.all():
        raise InvalidReference(f"time column {name!r} has no value in any row")
    warnings = []
    dtype = series.dtype
    if dtype == nw.Date:
        series = series.cast(nw.Datetime("ms"))
        is_local = True
    elif isinstance(dtype, nw.Datetime):
        is_local = dtype.time_zone is None
        if is_local:
            warnings.append(
                f"time column {name!r} has no zone: its times are read as {timezone}"
                + (" (timezone= says otherwise)" if timezone == "UTC" else "")
            )
    elif dtype.is_numeric():
        is_local = False
    else:
        raise InvalidReference(
            f"time column {name!r} is of type {type_of(series)}: convert it to datetimes or to "
            "epoch milliseconds"
        )
    if dtype.is_numeric():
        floats = _floats(series, is_null)
        if not np.isfinite(floats).all() or (floats != np.floor(floats)).any():
            raise InvalidReference(f"time column {name!r}: epoch milliseconds must be integers")
        times = np.clip(floats, -9e15, 9e15).astype(np.int64)
    else:
        stamps = series.dt.timestamp("ms")
        if is_null.any():
            stamps = stamps.fill_null(0)
        times = np.asarray(stamps.to_numpy()).astype(np.int64)
    seen = times[~is_null]
    if seen.min() < FIRST_MS or seen.max() >= LAST_MS:
        hint = " (are these seconds, not milliseconds?)" if dtype.is_numeric() else ""
        raise InvalidReference(f"time column {name!r}: there are times outside 2000-2100{hint}")
    if is_local:
        times = np.where(is_null, 0, local_to_utc_ms(np.where(is_null, seen[0], times), zone))
    if is_null.any():
        warnings.append(
            f"time column {name!r}: {int(is_null.sum()):,} rows have no time, they count in the "
            "reference but in no hour, day or week"
        )
    return times, ~is_null, warnings
