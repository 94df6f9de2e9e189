"""Tables as CSV (RFC 4180), safe to open in a spreadsheet.

Names and payloads are anybody's: a text cell that a spreadsheet would run as a
formula gets an apostrophe in front. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

MEDIA_TYPE = "text/csv"
# What spreadsheets take for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def defused(text: str) -> str:
    """Return a text that no spreadsheet runs.

    >>> defused("=1+1"), defused("temp"), defused("-28d")
    ("'=1+1", 'temp', "'-28d")
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def cell(value: object) -> object:
    """Return what stands in a cell: numbers as they are, lists joined, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return defused("; ".join(value))
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return defused(value)


def header(kind: type[BaseModel], hidden: Sequence[str] = ()) -> list[str]:
    """Return the columns of an answer: its fields, without those that are `hidden`."""
    return [name for name in kind.model_fields if name not in hidden]


def lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows of cells as they are sent."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def table(columns: Sequence[str], answers: Iterable[BaseModel]) -> bytes:
    """Return answers as lines under `columns`."""
    return lines(_row(columns, answer.model_dump(mode="json")) for answer in answers)


def _row(columns: Sequence[str], values: dict[str, Any]) -> list[object]:
    return [cell(values[name]) for name in columns]


def filename(*parts: str | None) -> str:
    """Return a file's name made of harmless characters.

    >>> filename("findings", "flight-delay", "../3", None)
    'findings-flight-delay-..-3.csv'
    """
    plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-")[:60] for part in parts if part]
    return "-".join(part for part in plain if part) + ".csv"
