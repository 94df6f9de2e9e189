"""What the halves of `driftline.Client` have in common: something that asks the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Calling:
    """A half of the client; the client itself says how a request is made."""

    def _call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        content_type: str = "application/json",
        params: Mapping[str, Any] | None = None,
        patience_s: float | None = None,
    ) -> Any:
        """Make a request and return its answer's JSON: see `driftline.asking.Http.call`."""
        raise NotImplementedError
