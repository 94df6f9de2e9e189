"""A Driftline that real services are told by, and report to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import Engine

from driftline import Client


@dataclass(frozen=True)
class Service:
    """A Driftline: its API on a socket, and its dispatcher that runs beside."""

    url: str
    engine: Engine

    def client(self) -> Client:
        return Client(self.url)
