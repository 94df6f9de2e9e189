"""One ingest process of `chaos`, whose calls go wrong where a seed says.

At a numbered call, before it or after it, the process kills itself, stops itself until it is
woken, fails the call, or cuts its connection in the middle of COMMIT. What is about to happen is
written down first.

    python tests/chaos_member.py '{"database_url": ..., "seed": 7, "faults": "FILE"}'
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import faults
import simulator
from sqlalchemy.engine import Engine
from stage import CLIENTS

import consumers.ledger
from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.errors import DriftlineError
from monitor.storage import engine as storage

HOWS: Final = (
    "dies before", "dies after", "stops before", "stops after", "fails before", "fails after",
)  # fmt: skip
# Where a process that ends or stops leaves most undone.
DANGEROUS: Final = (*faults.DANGEROUS, "decode", "commit")
# So many calls go well before the next one goes wrong.
CALM: Final = (20, 220)
CUT: Final = "is cut off during"


@dataclass(frozen=True)
class Given:
    """What a member is told.

    Attributes
    ----------
    faults
        The file that is told what happens; empty: nothing goes wrong.
    hows
        What may happen to calls.
    places
        Only calls of these names go wrong; empty: any call.
    client
        What reads: see `stage.CLIENTS`.
    """

    database_url: str
    bootstrap: str
    topic: str
    seed: int
    faults: str = ""
    hows: tuple[str, ...] = HOWS
    places: tuple[str, ...] = ()
    control: str = ""
    client: str = "kafka-python"
    checkpoint_interval_s: float = 0.3
    session_ms: int = 2_000


class Strikes(faults.Calls):
    """Calls of a real process: it kills or stops itself."""

    def __init__(self, engine: Engine, given: Given) -> None:
        super().__init__(engine)
        self._random = random.Random(given.seed)
        self._given = given
        self._file = os.open(given.faults, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def before(self, what: str) -> None:
        """Arm the next fault when the last one is over."""
        if not self.is_armed:
            self._arm()
        super().before(what)

    def _arm(self) -> None:
        how, calm = self._random.choice(self._given.hows), self._random.randrange(*CALM)
        if how == CUT:
            self.arm_next("sql COMMIT", f"{CUT} before", calm)
        elif self._given.places or self._random.random() < 0.4:
            places = self._given.places or DANGEROUS
            self.arm_next(self._random.choice(places), how, calm)
        else:
            self.arm(calm, how)

    def tell(self, how: str, what: str) -> None:
        """Write down what is about to happen."""
        os.write(self._file, f"{how} {what}\n".encode())

    def _fail(self, how: str, what: str) -> None:
        self.tell(how, what)
        super()._fail(how, what)

    def end(self, how: str, what: str) -> None:
        """Die or stop; who is stopped goes on from here when it is woken."""
        if how.startswith(CUT):
            return  # `_commit` does it
        self.tell(how, what)
        os.kill(os.getpid(), signal.SIGKILL if how.startswith("dies") else signal.SIGSTOP)

    def _commit(self, dbapi: Any) -> None:
        """COMMIT; where it is to be cut, it is sent and the answer never comes."""
        before = self.happened[f"{CUT} before", "sql COMMIT"]
        if self._is_on:
            self.before("sql COMMIT")
        if self.happened[f"{CUT} before", "sql COMMIT"] > before:
            self.tell(CUT, "sql COMMIT")
            connection = dbapi.driver_connection if hasattr(dbapi, "driver_connection") else dbapi
            connection.pgconn.send_query(b"COMMIT")
            connection.pgconn.flush()
            with socket.socket(fileno=os.dup(connection.pgconn.socket)) as wire:
                wire.shutdown(socket.SHUT_RDWR)
        self._commit_of_driver(dbapi)
        if self._is_on:
            self.after("sql COMMIT")


def run(given: Given, stop: threading.Event) -> None:
    """Ingest until `stop` is set, or until something ends it."""
    db = storage.create(given.database_url)
    settings = IngestSettings(
        given.database_url,
        given.bootstrap,
        given.topic,
        checkpoint_interval_s=given.checkpoint_interval_s,
        client_options={
            "session_timeout_ms": given.session_ms,
            "heartbeat_interval_ms": given.session_ms // 4,
            "max_poll_records": 100,
        },
    )
    source = CLIENTS[given.client](
        settings.bootstrap, settings.topic, settings.group_id, options=settings.client_options
    )
    kind = simulator.CONTROLS[given.control] if given.control else Loop
    if not given.faults:
        kind(db, source, settings).run(stop)
        return
    calls = Strikes(db, given)
    admit = consumers.ledger.admit

    def decode(*asked: Any) -> Any:
        calls.before("decode")
        found = admit(*asked)
        calls.after("decode")
        return found

    consumers.ledger.admit = decode  # type: ignore[attr-defined]
    with calls, calls.on():
        kind(db, faults.Tapped(calls, source), settings).run(stop)


def main() -> None:
    """Run until SIGTERM."""
    said = json.loads(sys.argv[1])
    given = Given(**{**said, "hows": tuple(said["hows"]), "places": tuple(said["places"])})
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        run(given, stop)
    except DriftlineError as error:  # at the start, while a broker or a database is away
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
