"""Values out of a document, believed only after a look at them.

Each function returns the value with the type it was asked for or refuses the document in
one sentence. Nothing here knows what the values mean.
"""

from __future__ import annotations

import base64
import binascii
import sys
from typing import Any, NoReturn

import numpy as np

from driftline.errors import InvalidReference
from driftline.stats.grid import canonical


def refuse(why: str) -> NoReturn:
    """Raise `InvalidReference`."""
    raise InvalidReference(f"this is no reference document: {why}")


def short(value: object) -> str:
    """A value for a sentence, however long it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested, or with more digits, than Python prints
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def an_object(value: Any, what: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(f"{what} must be an object")
    if keys is not None and set(value) != set(keys):
        odd = sorted(set(value) ^ set(keys))[0]
        refuse(f"{what} must have exactly the keys {', '.join(keys)} (see {short(odd)})")
    return value


def a_list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        refuse(f"{what} must be a list")
    if len(value) > most:
        refuse(f"{what} has {len(value):,} entries, over {most:,}")
    return value


def strings(value: Any, what: str, most: int, longest: int) -> tuple[str, ...]:
    return tuple(
        a_string(entry, f"an entry of {what}", longest) for entry in a_list(value, what, most)
    )


def a_string(value: Any, what: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        refuse(f"{what} must be a string of at most {longest} characters, not {short(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(f"{what} must be text, not {short(value)}")
    return value


def an_integer(value: Any, what: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        refuse(f"{what} must be an integer from {low} to {high}, not {short(value)}")
    return value


def is_finite(value: int | float) -> bool:
    """Whether a float holds it: no NaN, no infinity, no integer beyond them all."""
    return -sys.float_info.max <= value <= sys.float_info.max


def a_float32(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value):
        refuse(f"{what} must be a finite number, not {short(value)}")
    if float(canonical(np.array([value], np.float64))[0]) != value:
        refuse(f"{what} must be a float32, not {short(value)}")
    return float(value)


def unbase64(value: Any, what: str) -> bytes:
    if not isinstance(value, str):
        refuse(f"{what} must be a base64 string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        refuse(f"{what} is not base64")
