"""What the slots of a page hold, as the browser gets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(value: Any) -> str:
    """All words of a slot, as they stand."""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return "".join(text(each) for each in value)
    if isinstance(value, Mapping):
        return text(value.get("props", {}).get("children", ""))
    return ""
