"""What every GET checks before it is answered: only parameters that it knows, each once.

A misspelt filter that is silently left out answers another question than was asked.
"""

from __future__ import annotations

import difflib
from typing import Annotated, get_args, get_origin

from fastapi import Header, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

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
    known = _parameters(request.scope["route"])
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            near = difflib.get_close_matches(name[:MAX_SHOWN], known, n=2, cutoff=0.6)
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


def _parameters(route: APIRoute) -> dict[str, bool]:
    """Return the query parameters of a route, and whether each may come more than once."""
    return {
        field.alias: _is_list(field.field_info.annotation)
        for field in get_flat_params(route.dependant)
        if isinstance(field.field_info, Query)
    }


def _is_list(annotation: object) -> bool:
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))
