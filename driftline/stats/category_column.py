"""Categories of a column: distinct words, and for each row the number of its word.

A column of a million rows has few distinct values: each is looked at once, whatever library
the column is of. The coding is pyarrow's where it is installed, a dictionary's elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from driftline.stats.profile import State, Words, canonical_category

Series = nw.Series[Any]


@dataclass(frozen=True)
class Categories:
    """A column read as categories.

    Attributes
    ----------
    words : Words
        Canonical categories, all different; what stands where the state is not VALUE is
        ignored.
    state : uint8 array of `State`, or None
        None says that every row holds a category. NaN is missing, what is no category is a
        type error.
    """

    words: Words
    state: NDArray[np.uint8] | None

    @property
    def numbers(self) -> NDArray[np.int32]:
        """The number of each row's word, -1 without one."""
        codes = self.words.codes.astype(np.int32)
        if self.state is not None:
            codes[self.state != State.VALUE] = -1
        return codes

    @property
    def n_wrong(self) -> int:
        """How many rows are type errors."""
        return 0 if self.state is None else int((self.state == State.TYPE_ERROR).sum())

    def counts(self) -> dict[str, int]:
        """Rows by word; words of no row are left out."""
        numbers = self.numbers
        tally = np.bincount(numbers[numbers >= 0], minlength=len(self.words.words))
        pairs = zip(self.words.words, tally.tolist(), strict=True)
        return {word: n for word, n in pairs if n}


def read_categories(series: Series) -> Categories:
    """The categories of a column of any library, its values as `canonical_category` has them."""
    if isinstance(series.dtype, nw.Enum) or series.dtype == nw.Categorical:
        series = series.cast(nw.String())
    coded = None if series.dtype == nw.Object else _by_arrow(series)
    if coded is None:
        values, codes = _by_dictionary(series.to_list())
        # What a library takes for null is more than None.
        coded = values, np.where(series.is_null().to_numpy().astype(np.bool_), -1, codes)
    return _named(*coded)


def _by_arrow(series: Series) -> tuple[list[Any], NDArray[np.integer[Any]]] | None:
    """Distinct values and the number of each row's, -1 where it is null; None without pyarrow."""
    if not hasattr(series, "to_arrow"):
        return None
    try:
        array = series.to_arrow().dictionary_encode()
        parts = array.unify_dictionaries().chunks if hasattr(array, "chunks") else [array]
        # Without nulls their numbers lie there as they are wanted.
        codes = [
            (part.indices.fill_null(-1) if part.null_count else part.indices).to_numpy()
            for part in parts
        ]
        return parts[0].dictionary.to_pylist(), np.concatenate(codes)
    except (ImportError, TypeError, ValueError, NotImplementedError):
        # Not installed; a type that it cannot encode; half a character, which it cannot hold.
        return None


def _by_dictionary(raw: Sequence[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Distinct values, and the number of each row's."""
    number_of: dict[Any, int] = {}
    if set(map(type, raw)) <= {str, type(None)}:
        keys: Iterable[Any] = raw
        number_of = {value: i for i, value in enumerate(dict.fromkeys(raw))}
        values = list(number_of)
    else:
        # True, 1 and 1.0 are one key of a dictionary but not one category.
        keys = [(type(value), value) for value in raw]
        try:
            number_of = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        except TypeError:  # what cannot be a key, lists for example
            return list(raw), np.arange(len(raw))
        values = [value for _, value in number_of]
    return values, np.fromiter(map(number_of.__getitem__, keys), np.int64, len(raw))


def _named(distinct: Sequence[Any], codes: NDArray[np.integer[Any]]) -> Categories:
    """Words for distinct values: several values may be one word, or none."""
    number_of: dict[str, int] = {}
    numbers = np.zeros(len(distinct) + 1, np.int32)
    # The last is for the rows of number -1.
    states = np.full(len(distinct) + 1, State.VALUE, np.uint8)
    states[-1] = State.NULL
    for i, value in enumerate(distinct):
        word = canonical_category(value)
        if word is not None:
            numbers[i] = number_of.setdefault(word, len(number_of))
        elif isinstance(value, float) and value != value:
            states[i] = State.NULL
        else:
            states[i] = State.TYPE_ERROR
    has_null = bool(len(codes)) and bool(codes.min() < 0)
    state = states[codes] if has_null or (states[:-1] != State.VALUE).any() else None
    if len(number_of) != len(distinct):
        codes = numbers[codes]
    elif has_null:
        codes = np.maximum(codes, 0)
    # Codes of nothing point at a word, too.
    return Categories(Words(codes, list(number_of) or [""]), state)
