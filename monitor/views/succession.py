"""Which version took over from which: by promotions, for pages that show a version of before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.engine import Connection

from monitor.storage import promotions
from monitor.storage.promotions import Promotion


def successors(conn: Connection, model: str | None = None) -> Mapping[int, Promotion]:
    """Return by version's id what took over from it, of a model or of all."""
    return replaced(promotions.listed(conn, model))


def replaced(found: Iterable[Promotion]) -> dict[int, Promotion]:
    """Return by version's id the promotion that replaced it; not of one that is live again."""
    out: dict[int, Promotion] = {}
    for one in sorted(found, key=lambda one: (one.effective_ms, one.id)):
        out.pop(one.version_id, None)
        if one.replaces_version_id is not None:
            out[one.replaces_version_id] = one
    return out
