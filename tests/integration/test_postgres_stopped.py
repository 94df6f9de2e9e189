"""An owner that is stopped in the middle of a message to PostgreSQL keeps nobody out for ever."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from driftline.errors import StorageUnavailable
from monitor.storage import checkpoint, many, postgres
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim
from monitor.storage.engine import transaction

DEADLINE_S = 30.0
SOCKET = ".s.PGSQL.5432"
# Far more than what sockets hold between a sender and a receiver.
ROWS = 4_000


@pytest.fixture
def backend() -> str:
    return "postgresql"


class Valve:
    """What is sent to a server goes through here, until it is closed."""

    def __init__(self, server: Path) -> None:
        self._server, self.folder = server, tempfile.mkdtemp(prefix="driftline-valve-")
        self.left: int | None = None
        self._sockets: list[socket.socket] = []
        self._listens = self._made()
        self._listens.bind(f"{self.folder}/{SOCKET}")
        self._listens.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _made(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        self._sockets.append(made)
        return made

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listens.accept()
                server = self._made()
                server.connect(str(self._server / SOCKET))
                self._sockets.append(client)
                for ends in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pump, args=(*ends, ends[0] is client), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:
        with suppress(OSError):
            while some := source.recv(16_384):
                if is_sent and self.left is not None:
                    if self.left <= 0:
                        return
                    self.left -= len(some)
                target.sendall(some)

    def cut(self) -> None:
        """Close every connection."""
        for made in self._sockets:
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            made.close()

    def remove(self) -> None:
        self.cut()
        Path(self.folder, SOCKET).unlink()
        Path(self.folder).rmdir()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SESSION", postgres.SESSION | {"lock_timeout": "300ms"})


@pytest.fixture
def valve(engine: Engine) -> Iterator[Valve]:
    folder = Path(str(engine.url.query.get("host", "")))
    if not folder.is_absolute():
        pytest.skip("the server listens on no socket here")
    made = Valve(folder)
    yield made
    made.remove()


def _claim(engine: Engine) -> Claim:
    with transaction(engine) as conn:
        stream = checkpoint.open_stream(
            conn, cluster_id="c", topic="t", topic_id="i", start_policy="earliest", group_id="g",
            bounds={0: (0, 0)}, now_ms=1,
        )  # fmt: skip
        return checkpoint.claim(conn, stream_id=stream.id, partition=0, owner="me", group_id="g")


def _write_and_stop(engine: Engine, valve: Valve, errors: list[Exception]) -> None:
    """A checkpoint whose owner is stopped while it sends panes."""
    names = ("version_id", "gridset", "start_ms", "segment", "stream_id", "partition", "rev",
             "rows", "body")  # fmt: skip
    rows = [(1, "g", i, "all", 1, 0, 1, 1, b"x" * 1_000) for i in range(ROWS)]
    try:
        with transaction(engine) as conn:
            conn.execute(sa.update(t.stream_position).values(next_offset=9))
            valve.left = 100_000
            many.insert(conn, t.pane, names, rows)
    except Exception as error:
        errors.append(error)


@pytest.mark.parametrize("stuck_s", [1.0, 3_600.0])
def test_who_waits_for_it_ends_its_session_and_goes_on(
    engine: Engine, valve: Valve, monkeypatch: pytest.MonkeyPatch, stuck_s: float
) -> None:
    monkeypatch.setattr(postgres, "STUCK_S", stuck_s)
    first = _claim(engine)
    behind = storage.create(
        engine.url.set(query={"host": valve.folder}).render_as_string(hide_password=False)
    )
    errors: list[Exception] = []
    owner = threading.Thread(target=_write_and_stop, args=(behind, valve, errors), daemon=True)
    owner.start()
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        while valve.left is None or valve.left > 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        # With nobody who ends it, it stands in the way for as long as one looks.
        until_s = time.monotonic() + (DEADLINE_S if stuck_s < DEADLINE_S else 4.0)
        waited, claim = 0, None
        while claim is None and time.monotonic() < until_s:
            try:
                claim = _claim(engine)
            except StorageUnavailable:
                waited += 1
        assert waited
        if stuck_s > DEADLINE_S:
            assert claim is None
            return
        assert claim is not None
        assert claim.epoch == first.epoch + 1
        # What the stopped one had written is not there.
        assert claim.next_offset == 0
        with engine.connect() as conn:
            assert conn.execute(sa.select(sa.func.count()).select_from(t.pane)).scalar_one() == 0
    finally:
        valve.cut()
        owner.join(DEADLINE_S)
        behind.dispose()
    assert not owner.is_alive()
    assert [type(error) for error in errors] == [StorageUnavailable]
