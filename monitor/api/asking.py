"""What every GET checks before it is answered: only parameters that it knows, each once.

A misspelt filter that is silently left out answers another question than was asked.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from fastapi import Header, Request

from monitor.api.problems import MAX_SHOWN, Problem


async def only_known(
    request: Request,
    if_none_match: Annotated[
        str | None,
        Header(
            description="The ETag of the answer that you have",
            examples=['W/"5d41402abc4b2a76b9719d91"'],
        ),
    ] = None,
) -> None:
    """Refuse what the route does not know.

    Raises
    ------
    Problem
        With the nearest name.
    """
    known = _parameters(request)
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            near = difflib.get_close_matches(name[:MAX_SHOWN], known, n=2, cutoff=0.5)
            raise Problem(
                400, "There is no such parameter",
                f"This address knows no parameter {name[:MAX_SHOWN]!r}.",
                mend=f"did you mean {' or '.join(near)}?" if near else
                f"it knows {', '.join(known) or 'none'}",
            )  # fmt: skip
        if name in seen and not known[name]:
            raise Problem(
                400, "A parameter comes twice", f"Only one {name!r} can be meant.",
                mend="leave one out",
            )  # fmt: skip
        seen.add(name)


def _parameters(request: Request) -> dict[str, bool]:
    """Return the query parameters of the route, and whether each may come more than once."""
    described = request.app.openapi()["paths"].get(request.scope["route"].path_format, {})
    operation = described.get(request.method.lower(), {})
    return {
        parameter["name"]: _is_list(parameter["schema"])
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }


def _is_list(schema: dict[str, Any]) -> bool:
    return any(one.get("type") == "array" for one in (schema, *schema.get("anyOf", ())))
