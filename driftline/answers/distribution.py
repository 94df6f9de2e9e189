"""One feature in two ranges, or in a range and a reference, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of binned values: it lies in [low, high], about at value."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of two sides: a reference, or what was counted in a range."""

    name: str
    start: datetime | None
    end: datetime | None
    is_cut: bool
    rows: int
    values: int
    missing: float | None
    type_error: float | None
    out_of_range: float | None
    unseen: float | None
    below: int
    above: int
    n_missing: int
    n_type_error: int
    n_unseen: int
    infinite: int
    zeros: int
    negatives: int
    mean: float | None
    median: Quantile | None
    p5: Quantile | None
    p95: Quantile | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PsiGroup:
    """One group of the PSI: rows of both sides, and how much of the PSI comes from it."""

    words: str
    low: float | None
    high: float | None
    is_atom: bool
    reference: int
    current: int
    reference_share: float
    current_share: float
    psi: float
    psi_share: float


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a numeric feature, from low to high; the last upper edge, None, is open."""

    upper: tuple[float | None, ...]
    is_atom: tuple[bool, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]
    low: float
    high: float
    is_integer: bool


@dataclass(frozen=True, slots=True)
class Level:
    """A row of a categorical feature: a category, what is rare ("other"), or "unseen"."""

    name: str
    kind: str
    reference: int
    current: int
    reference_share: float
    current_share: float
    psi_share: float | None


@dataclass(frozen=True, slots=True)
class NewValue:
    """A value that the reference never saw."""

    value: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Distribution:
    """A feature in two sides: what it is compared with (`reference`), and a range (`current`)."""

    model: str
    version: str
    segment: str
    feature: str
    kind: str
    reference: Side
    current: Side
    season: str | None
    psi: float | None
    ks_low: float | None
    ks_high: float | None
    chi_square: float | None
    chi_square_df: int | None
    is_honest: bool
    groups: tuple[PsiGroup, ...]
    bins: Bins | None
    levels: tuple[Level, ...]
    is_hashed: bool
    new_values: tuple[NewValue, ...]
    vanished: tuple[str, ...]
    constant: str | None
    differs: float | None
    notes: tuple[str, ...]
