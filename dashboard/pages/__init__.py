"""What a page is, and the table of them in the order in which addresses are tried.

A page is a skeleton, built once a visit, whose slots one function fills. Dash
builds everything anew below a container whose children a callback replaces,
so charts, grids and what has the focus are slots of their own and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dash import Dash

from dashboard.look import Look

# (component id, property)
Slot = tuple[str, str]
# A name stands for itself, None for any one part.
Pattern = tuple[str | None, ...]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes
    ----------
    name
        Prefix of its components' ids.
    pattern
        The parts of its address.
    skeleton
        Its components, each slot with its id; called once a visit.
    slots
        What `fill` fills, by key.
    fill
        Returns values by key; keys it leaves out stay as they are. Raises
        `monitor.views.scope.NoSuch` where the address names what is not there.
    title
        What the browser's tab says before " · Driftline", from the address's parts.
    register
        Adds clientside callbacks of the page's own.
    """

    name: str
    pattern: Pattern
    skeleton: Callable[[], Any]
    slots: Mapping[str, Slot]
    fill: Callable[[Look], Mapping[str, Any]]
    title: Callable[[tuple[str, ...]], str]
    register: Callable[[Dash], None] | None = None

    def is_at(self, parts: tuple[str, ...]) -> bool:
        """Whether an address is this page's."""
        return len(parts) == len(self.pattern) and all(
            wanted is None or wanted == part
            for wanted, part in zip(self.pattern, parts, strict=True)
        )
