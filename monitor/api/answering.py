"""How every GET is answered: once, conditionally, and a list in pages or as CSV.

What is asked is first compared with what the asker has (ETag): 304 costs one
short query. A page and its ETag are read in one view of the database. CSV is
read in batches, each in a view of its own: a slow download holds nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.engine import Connection, Engine

import driftline
from monitor.api import csvs
from monitor.api.answers.common import Page
from monitor.api.cursors import Key, decode, encode
from monitor.storage.engine import reading
from monitor.storage.reads.marks import mark

R = TypeVar("R")

# A browser keeps an answer, and asks each time whether it still holds.
CACHE = {"Cache-Control": "no-cache", "Vary": "Accept"}
# Rows of a table that are read and sent at once: about a megabyte of findings.
BATCH = 4_000


@dataclass(frozen=True)
class Listing(Generic[R]):
    """A list that can grow: how to read on after a key.

    Attributes
    ----------
    kind
        The type of its items.
    read
        (connection, key or None, at most so many) -> rows after the key, in order.
    key
        A row's key, and in `key_kinds` the types of its parts.
    answer
        A row as an item.
    hidden
        Fields that the CSV leaves out.
    """

    kind: type[BaseModel]
    read: Callable[[Connection, Key | None, int], Sequence[R]]
    key: Callable[[R], Key]
    key_kinds: tuple[type, ...]
    answer: Callable[[R], BaseModel]
    hidden: tuple[str, ...] = ()


def whole(
    read: Callable[[Connection], Sequence[R]], key: Callable[[R], Key]
) -> Callable[[Connection, Key | None, int], Sequence[R]]:
    """Return how to page through what is read whole: by keys that grow."""

    def read_on(conn: Connection, after: Key | None, limit: int) -> Sequence[R]:
        rows = sorted(read(conn), key=key)
        return [row for row in rows if after is None or key(row) > after][:limit]

    return read_on


class Answering:
    """Answers GETs from one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def one(
        self,
        request: Request,
        read: Callable[[Connection], BaseModel],
        *,
        has_streams: bool = False,
        by_content: bool = False,
    ) -> Response:
        """Answer with one document, or 304 without reading it.

        `by_content`: what also hangs on the clock is read, and compared when it is made.
        """
        return self.raw(
            request, lambda conn: read(conn).model_dump_json().encode(),
            has_streams=has_streams, by_content=by_content,
        )  # fmt: skip

    def raw(
        self,
        request: Request,
        read: Callable[[Connection], bytes],
        *,
        has_streams: bool = False,
        by_content: bool = False,
    ) -> Response:
        """As `one`, with JSON that is made already."""
        with reading(self._engine) as conn:
            tag = "" if by_content else _tag(conn, request, has_streams=has_streams)
            if tag and _has(request, tag):
                return _same(tag)
            content = read(conn)
        if by_content:
            tag = _weak(content)
            if _has(request, tag):
                return _same(tag)
        return Response(content, media_type="application/json", headers={**CACHE, "ETag": tag})

    def page(
        self,
        request: Request,
        listing: Listing[R],
        *,
        limit: int | None,
        cursor: str | None,
        default: int = 200,
        format_: str | None = None,
        filename: Sequence[str | None] = (),
        has_streams: bool = False,
        by_content: bool = False,
    ) -> Response:
        """Answer with a page of a list, or all of it as CSV; `by_content` as in `one`."""
        after = decode(cursor, listing.key_kinds)
        if filename and wants_csv(request, format_):
            return self._table(listing, after, limit, csvs.filename(*filename))
        most = limit or default

        def read(conn: Connection) -> BaseModel:
            found = listing.read(conn, after, most + 1)
            more = encode(listing.key(found[most - 1])) if len(found) > most else None
            # Every item was made by `answer`: nothing is left to validate.
            return Page[Any].model_construct(
                items=[listing.answer(row) for row in found[:most]], next=more
            )

        return self.one(request, read, has_streams=has_streams, by_content=by_content)

    def table(
        self, read: Callable[[Connection], tuple[list[str], Iterable[Sequence[object]]]], name: str
    ) -> Response:
        """Answer with a table that is read whole: its columns and its rows."""
        with reading(self._engine) as conn:
            columns, rows = read(conn)
        cells = ([csvs.cell(value) for value in row] for row in rows)
        return _csv(iter([csvs.lines([columns]), csvs.lines(cells)]), name)

    def _table(
        self, listing: Listing[R], after: Key | None, limit: int | None, name: str
    ) -> Response:
        columns = csvs.header(listing.kind, listing.hidden)

        def batches() -> Iterator[bytes]:
            key, left = after, limit
            while True:
                most = BATCH if left is None else min(BATCH, left)
                with reading(self._engine) as conn:
                    found = listing.read(conn, key, most)
                yield csvs.table(columns, map(listing.answer, found))
                left = None if left is None else left - len(found)
                if len(found) < most or left == 0:
                    return
                key = listing.key(found[-1])

        made = batches()
        # What cannot be answered is a problem before it is half a table.
        first = next(made)
        return _csv(_chain(csvs.lines([columns]) + first, made), name)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _csv(content: Iterator[bytes], name: str) -> Response:
    return StreamingResponse(
        content,
        media_type=f"{csvs.MEDIA_TYPE}; charset=utf-8; header=present",
        headers={**CACHE, "Content-Disposition": f'attachment; filename="{name}"'},
    )


def wants_csv(request: Request, format_: str | None) -> bool:
    """Return whether CSV was asked for, by `format` or else by `Accept`."""
    if format_ is not None:
        return format_ == "csv"
    wanted = _accepted(request.headers.get("accept", ""))
    return wanted.get(csvs.MEDIA_TYPE, 0.0) > wanted.get("application/json", 0.0)


def _accepted(header: str) -> dict[str, float]:
    """Return the media types of an Accept header with their weights.

    >>> _accepted("text/csv, application/json;q=0.5")
    {'text/csv': 1.0, 'application/json': 0.5}
    """
    found = {}
    for part in header.split(","):
        name, *more = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in more if piece.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = 0.0
    return found


def _tag(conn: Connection, request: Request, *, has_streams: bool) -> str:
    parts = [
        driftline.__version__,
        request.url.path,
        sorted(request.query_params.multi_items()),
        mark(conn, has_streams=has_streams),
    ]
    return _weak(json.dumps(parts).encode())


def _weak(content: bytes) -> str:
    # The same answer may be compressed or not.
    return f'W/"{hashlib.sha256(content).hexdigest()[:24]}"'


def _same(tag: str) -> Response:
    return Response(status_code=304, headers={**CACHE, "ETag": tag})


def _has(request: Request, tag: str) -> bool:
    """Return whether `If-None-Match` names the answer that would be given."""
    held = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
    return tag in held or tag.removeprefix("W/") in held
