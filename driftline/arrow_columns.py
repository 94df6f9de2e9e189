"""One Arrow array to what is counted: numbers, coded words, and what every place holds.

No value becomes a Python object of its own but the distinct words. The rules are those of JSON
(`driftline.wire`): a boolean or a text in a numeric feature is a type error, a NaN among categories
is missing, integral numbers are categories in decimal. What comes from outside is to pass `check`
first. float32 and float16 are widened, which is
exact; a grid rounds to float32 anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.arrow import pyarrow
from driftline.errors import DecodeError, SchemaError
from driftline.stats.profile import Column, State, Words
from driftline.wire import categories

# A view may point at the same long text from every row; longer texts are cut anyway.
MAX_VIEWED_BYTES: Final = 16_000_000

_VALUE, _NULL, _TYPE_ERROR = (np.uint8(s) for s in (State.VALUE, State.NULL, State.TYPE_ERROR))


def column(array: Any, kind: str, places: NDArray[np.intp] | None = None) -> Column:
    """Return the column of a feature of a kind (``numeric``, ``categorical``, ``presence``).

    Parameters
    ----------
    places
        The rows that are wanted, in order; None = all.

    Examples
    --------
    >>> import pyarrow
    >>> column(pyarrow.array([1, None]), "numeric").values.tolist()
    [1.0, 0.0]
    >>> list(column(pyarrow.array([1.0, 2.0]), "categorical").values)
    ['1', '2']
    """
    if places is not None and is_flat(array.type):
        # Lists are not taken: a few bytes of a fixed-size one may stand for billions of nulls.
        # Views cannot be.
        array, places = array.take(pyarrow().array(places)), None
    if kind == "presence":
        is_null = nulls(array)
        found = Column(None, None if is_null is None else _states(is_null))
    else:
        found = numbers(array) if kind == "numeric" else words(array)
    if places is None:
        return found
    values = found.values
    if values is not None:
        values = Words(values.codes[places], values.words) if kind != "numeric" else values[places]
    return Column(values, None if found.state is None else found.state[places])


def nulls(array: Any) -> NDArray[np.bool_] | None:
    """Return which places are null; None when none is."""
    if family(array.type) == "dictionary":
        inner = nulls(array.dictionary)
        if inner is not None:
            return np.append(inner, True)[_codes(array)]
    if not array.null_count:
        return None
    return _bits(array.is_null())


def numbers(array: Any) -> Column:
    """Return the column as float64; what is no number is a type error."""
    of = family(array.type)
    if of == "dictionary":
        codes, inner = _codes(array), numbers(array.dictionary)
        state = _by_code(inner.state, codes, len(array.dictionary))
        return Column(None if inner.values is None else np.append(inner.values, 0)[codes], state)
    if of not in ("number", "decimal"):
        return _no_values(array)
    is_null = nulls(array)
    found = _plain(array, is_null).astype(np.float64, copy=False)
    return Column(found, None if is_null is None else _states(is_null))


def words(array: Any) -> Column:
    """Return the column as coded categories; what is no category is a type error."""
    of = family(array.type)
    codes: NDArray[Any]
    if of == "dictionary":
        codes, inner = _codes(array), words(array.dictionary)
        state = _by_code(inner.state, codes, len(array.dictionary))
        if inner.values is None:
            return Column(None, state)
        outer = np.append(inner.values.codes, 0)
        return Column(Words(outer[codes], inner.values.words or [""]), state)
    if of in ("text", "view"):
        coded = _without_views(array).dictionary_encode()
        codes, distinct = _codes(coded), coded.dictionary.to_pylist()
    elif of in ("number", "decimal", "boolean"):
        is_null = nulls(array)
        values, codes = np.unique(_plain(array, is_null), return_inverse=True)
        distinct = values.tolist()
        if is_null is not None:
            codes[is_null] = len(distinct)
    else:
        return _no_values(array)
    found = categories(distinct)
    states = [_state_of(word, value) for word, value in zip(found, distinct, strict=True)]
    # One more word, for the places that hold none.
    texts = [*(word or "" for word in found), ""]
    return Column(Words(codes, texts), _by_code(np.array(states, np.uint8), codes, len(distinct)))


def text_codes(array: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct values of a column of texts or integers, None the last, and their codes.

    Examples
    --------
    >>> import pyarrow
    >>> texts, codes = text_codes(pyarrow.array(["a", None, "a"]))
    >>> texts, codes.tolist()
    (['a', None], [0, 1, 0])
    """
    coded = array
    if family(array.type) != "dictionary":
        coded = _without_views(array).dictionary_encode()
    return [*coded.dictionary.to_pylist(), None], _codes(coded)


@cache
def _families() -> Mapping[int, str]:
    pa = pyarrow()
    found: dict[str, list[Any]] = {
        # Two of the four are younger than the oldest pyarrow that is allowed.
        "decimal": [
            getattr(pa, f"decimal{bits}")(1)
            for bits in (32, 64, 128, 256)
            if hasattr(pa, f"decimal{bits}")
        ],
        "boolean": [pa.bool_()],
        "text": [pa.string(), pa.large_string()],
        "view": [pa.string_view()],
        "dictionary": [pa.dictionary(pa.int8(), pa.string())],
        # What has no nulls of its own.
        "odd": [
            pa.run_end_encoded(pa.int16(), pa.int8()),
            pa.dense_union([]),
            pa.sparse_union([]),
        ],
    }
    numbers = dict.fromkeys(_dtypes(), "number")
    return numbers | {kind.id: name for name, kinds in found.items() for kind in kinds}


def family(kind: Any) -> str:
    """Return what a type is to us.

    Returns
    -------
    str
        number, decimal, boolean, text, view (of text), dictionary, odd (it cannot be read), or
        other (only its nulls can be).
    """
    return _families().get(kind.id, "other")


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of its three types of text."""
    return family(kind) in ("text", "view")


def is_flat(kind: Any) -> bool:
    """Whether an Arrow type is one of plain values, or a dictionary of such."""
    of = family(kind)
    if of == "dictionary":
        return is_flat(kind.value_type)
    return of in ("text", "number", "decimal", "boolean")


def _plain(array: Any, is_null: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Numbers or booleans as numpy has them; something stands where there is none."""
    of = family(array.type)
    if of == "decimal":
        array = array.cast(pyarrow().float64())
    found = _bits(array) if of == "boolean" else raw(array)
    return found if is_null is None else np.where(is_null, found.dtype.type(0), found)


def raw(array: Any, kind: Any = None) -> NDArray[Any]:
    """Return numbers where they lie; what stands where there is none is anything.

    pyarrow would do it, too, and imports pandas for it: a quarter of a second, and 40 MB.

    Parameters
    ----------
    kind
        Type of numpy of what is no array of integers or floats, such as times.

    Examples
    --------
    >>> import pyarrow
    >>> raw(pyarrow.array([1, 2, 3], pyarrow.int16())[1:])
    array([2, 3], dtype=int16)
    """
    dtype = np.dtype(_dtypes()[array.type.id] if kind is None else kind)
    values = array.buffers()[1]
    if values is None or not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(values, dtype, len(array), array.offset * dtype.itemsize)


@cache
def _dtypes() -> Mapping[int, str]:
    pa = pyarrow()
    whole = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    return {getattr(pa, name)().id: name for name in (*whole, "float16", "float32", "float64")}


def _bits(array: Any) -> NDArray[np.bool_]:
    """Booleans without nulls."""
    n = len(array)
    values = array.buffers()[1]
    if values is None or not n:
        return np.zeros(0, np.bool_)
    first, at = divmod(array.offset, 8)
    packed = np.frombuffer(values, np.uint8)[first : (array.offset + n + 7) // 8]
    return np.unpackbits(packed, bitorder="little")[at : at + n].view(np.bool_)


def check(array: Any, name: str) -> None:
    """Refuse a column that cannot be read, so that reading it later cannot fail.

    Raises
    ------
    DataError
        ``column_invalid`` for a type that cannot be read, ``oversized`` for views of too much.
    """
    of = family(array.type)
    if of == "odd":
        raise SchemaError("column_invalid", f"{name[:100]} is of type {str(array.type)[:100]}")
    if of == "dictionary":
        check(array.dictionary, name)
    if of != "view" or not len(array):
        return
    # A view is 16 bytes and begins with its length; where there is none anything may stand.
    views, until = array.buffers()[1], 16 * (array.offset + len(array))
    if views.size < until:  # which not every pyarrow refuses
        raise DecodeError("bad_arrow", f"{name[:100]} has views of {views.size} bytes")
    whole = np.frombuffer(views, np.int32, count=until // 4)
    lengths = whole[4 * array.offset :: 4]
    is_null = nulls(array)
    n_bytes = int(lengths.sum(dtype=np.int64, where=True if is_null is None else ~is_null))
    if n_bytes > MAX_VIEWED_BYTES:
        raise DecodeError("oversized", f"{name[:100]} views {n_bytes} bytes of text")


def _without_views(array: Any) -> Any:
    return array.cast(pyarrow().large_string()) if family(array.type) == "view" else array


def _no_values(array: Any) -> Column:
    """A type that is neither number nor category: null, or a type error."""
    is_null = nulls(array)
    if is_null is None:
        return Column(None, np.full(len(array), _TYPE_ERROR))
    return Column(None, np.where(is_null, _NULL, _TYPE_ERROR))


def _codes(array: Any) -> NDArray[np.int64]:
    """Indices of a dictionary array; where there is none, the one past the dictionary."""
    indices = array.indices
    found = raw(indices).astype(np.int64, copy=False)
    if indices.null_count:
        found = np.where(_bits(indices.is_null()), len(array.dictionary), found)
    return found


def _by_code(
    states: NDArray[np.uint8] | None, codes: NDArray[Any], n_words: int
) -> NDArray[np.uint8] | None:
    """The state of each place; None says that every place holds a value."""
    if states is None:
        is_null = codes == n_words
        return _states(is_null) if is_null.any() else None
    found = np.append(states, _NULL)[codes]
    return found if found.any() else None


def _state_of(word: str | None, value: Any) -> np.uint8:
    if word is not None:
        return _VALUE
    # Of categories, NaN is missing and any other number that is not whole is an error.
    return _NULL if value is None or value != value else _TYPE_ERROR


def _states(is_null: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(is_null, _NULL, _VALUE)
