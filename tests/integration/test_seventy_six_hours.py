"""Three days in which a receiver fails in every way while the dispatcher is killed again and again.

The hours are simulated, the rest is real: processes that end with SIGKILL between sending and
recording, sockets, TLS, and both databases. Nothing is lost, the messages of an alert never
overtake each other, and none comes under another id.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from receivers import misbehaving, receiving
from sqlalchemy.engine import Engine

from driftline.webhooks import new_secret, verified
from monitor.storage import endpoints, outbox, reads, redelivery, service_incidents
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message
from monitor.storage.redelivery import Wanted

pytestmark = pytest.mark.both_databases

SECRET = new_secret()
START_MS, HOUR_MS = 1_750_000_000_000, 3_600_000
CERTIFICATE = Path(__file__).parents[1] / "unit/alerts/hooks.example.pem"
ALERTS, EACH = 5, 3
# Of the 150 s of wall time that a test may take, most would be waiting for time-outs.
TIMEOUT_S = 0.4
# It does what is due at each instant that is written to it, and says "done"; or it dies.
DISPATCHER = """
import ipaddress, os, random, signal, ssl, sys
from monitor.alerts import Dispatcher, Poster
from monitor.alerts.guard import networks
from monitor.clock import HeldClock
from monitor.storage import engine as storage

url, seed, certificate, timeout_s, dies = sys.argv[1:]
draws = random.Random(int(seed))
clock = HeldClock(0)

def die(held):
    if draws.random() < float(dies):
        os.kill(os.getpid(), signal.SIGKILL)

post = Poster(
    networks("127.0.0.1/32"), timeout_s=float(timeout_s),
    resolve=lambda host, port: [ipaddress.ip_address("127.0.0.1")],
    tls=ssl.create_default_context(cafile=certificate),
)
dispatcher = Dispatcher(
    storage.create(url), post, clock=clock, draw=draws.random, after_sending=die,
)
for line in sys.stdin:
    clock.advance((int(line) - clock.now_ms()) / 1_000)
    while dispatcher.step():
        assert dispatcher.finish(60)
    print("done", flush=True)
"""


class Dispatching:
    """A dispatcher in a process of its own, started again whenever it was killed."""

    def __init__(self, engine: Engine, dies: float) -> None:
        self._url = engine.url.render_as_string(hide_password=False)
        self._dies, self.killed = dies, 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        arguments = [self._url, str(self.killed), str(CERTIFICATE), str(TIMEOUT_S), str(self._dies)]
        return subprocess.Popen(
            [sys.executable, "-c", DISPATCHER, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def at(self, now_ms: int) -> bool:
        """Do what is due; False when it was killed over it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{now_ms}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line == "done\n":
                return True
        assert self._process.wait(20) == -signal.SIGKILL
        self.end()
        self.killed += 1
        self._process = self._start()
        return False

    def end(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)


@dataclass
class Fickle:
    """A receiver that fails in every way, and sometimes does not."""

    draws: random.Random = field(default_factory=lambda: random.Random(7))
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)
    is_mended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += connection.recv(65_536)
        head, _, body = heard.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")[1:]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += connection.recv(65_536)
        with self.lock:
            self.got.append((headers, body))
            ways = ("taken", "hang", "reset", "half_head", "half_body", "302", "429", "500", "503")
            way = "taken" if self.is_mended else self.draws.choice(ways)
            self.ways[way] += 1
        if way == "taken":
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif way == "hang":
            over.wait(2 * TIMEOUT_S)
        elif way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == "half_head":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-le")
        elif way == "half_body":
            connection.sendall(b"HTTP/1.1 500 Oh\r\ncontent-length: 1000\r\n\r\nhalf of it")
        elif way == "302":
            connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: /in\r\ncontent-length: 0\r\n\r\n")
        elif way in ("429", "503"):
            retry = b"retry-after: 5400\r\ncontent-length: 0\r\n\r\n"
            connection.sendall(f"HTTP/1.1 {way} Later\r\n".encode() + retry)
        else:
            connection.sendall(b"HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\noops")


@contextmanager
def speaking_tls() -> Iterator[int]:
    """The port of a server with a certificate for hooks.example, whatever it is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def answer(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with misbehaving(answer) as url:
        yield int(url.split(":")[2].split("/")[0])


def tell(engine: Engine, sequence: int, now_ms: int) -> None:
    with transaction(engine) as conn:
        for number in range(ALERTS):
            alert_id = f"alert{number}"
            data = {"alert_id": alert_id, "sequence": sequence, "summary": "x" * 500}
            body = {"type": "drift.updated", "timestamp": "2025-06-15T00:00:00Z", "data": data}
            said = json.dumps(body)
            told = Message(f"{alert_id}-{sequence}", alert_id, sequence, "drift.updated", said)
            outbox.enqueue(conn, told, now_ms)


def next_ms(engine: Engine, now_ms: int) -> int | None:
    """Return when something is due next, or a lease ends; None when nothing waits."""
    o = t.outbox.c
    with reading(engine) as conn:
        enabled = sa.select(t.endpoint.c.id).where(t.endpoint.c.disabled_ms.is_(None))
        rows = conn.execute(
            sa.select(o.due_ms, o.lease_until_ms).where(
                o.state == "pending", o.endpoint_id.in_(enabled)
            )
        ).all()
    # What is due and was not sent waits for an earlier one of its alert.
    times = [max(due, lease or 0) for due, lease in rows]
    return min((at for at in times if at > now_ms), default=None)


def test_nothing_is_lost_doubled_or_overtaken(engine: Engine) -> None:
    fickle = Fickle()
    with (
        misbehaving(fickle) as bad,
        receiving() as good,
        receiving() as gone,
        speaking_tls() as port,
    ):
        gone.answer = lambda _: (500, {}, b"") if len(gone.received) < 4 else (410, {}, b"bye")
        with transaction(engine) as conn:
            for name, url in {
                "fickle": bad, "good": good.url, "gone": gone.url,
                "wrong-name": f"https://other.example:{port}/",
            }.items():  # fmt: skip
                endpoints.add(conn, name, url, SECRET, now_ms=START_MS)
        dispatching = Dispatching(engine, dies=0.06)
        try:
            said, now_ms = 0, START_MS
            last_ms = START_MS + 76 * HOUR_MS
            while now_ms < last_ms:
                while said < EACH and now_ms >= START_MS + said * said * 2 * HOUR_MS:
                    said += 1
                    tell(engine, said, now_ms)
                if not dispatching.at(now_ms):
                    now_ms += 61_000  # its lease
                    continue
                found = next_ms(engine, now_ms)
                more = START_MS + said * said * 2 * HOUR_MS if said < EACH else last_ms
                now_ms = min(found or more, more)
            assert said == EACH
            # Whatever was given up by then is asked for again, of a receiver that was mended.
            fickle.is_mended, before = True, len(fickle.got)
            for _ in range(60):
                with transaction(engine) as conn:
                    redelivery.again(conn, Wanted(endpoint="fickle"), now_ms=now_ms)
                dispatching.at(now_ms)
                now_ms += 24 * HOUR_MS + 61_000
                with reading(engine) as conn:
                    states = {d.state for d in reads.deliveries(conn, endpoint="fickle")}
                if states == {"delivered"}:
                    break
        finally:
            dispatching.end()
        _hold(engine, fickle, good.received, dispatching)
        # What was given up comes after what was not; otherwise none overtakes another.
        for got in (fickle.got[:before], [(one.headers, one.body) for one in good.received]):
            for number in range(ALERTS):
                ids = [h["webhook-id"] for h, _ in got]
                came = [name for name in ids if name.startswith(f"alert{number}-")]
                assert came == sorted(came)


def _hold(engine: Engine, fickle: Fickle, good: list, dispatching: Dispatching) -> None:  # type: ignore[type-arg]
    wanted = {f"alert{a}-{n + 1}" for a in range(ALERTS) for n in range(EACH)}
    heard = [(headers, body) for headers, body in fickle.got]
    for got in (heard, [(dict(one.headers), one.body) for one in good]):
        got = [(h, b) for h, b in got if b"endpoint." not in b]
        # Each came, under its id and no other, byte for byte the same each time.
        assert {headers["webhook-id"] for headers, _ in got} == wanted
        assert len({(headers["webhook-id"], body) for headers, body in got}) == len(wanted)
        for headers, body in got:
            at_s = int(headers["webhook-timestamp"])
            alert = verified(headers, body, SECRET, now_s=at_s, tolerance_s=0)
            assert f"{alert.alert_id}-{alert.sequence}" == alert.webhook_id
    with reading(engine) as conn:
        by_name = {
            name: reads.deliveries(conn, endpoint=name)
            for name in ("fickle", "good", "gone", "wrong-name")
        }
        tried = reads.attempts_of(conn, [one.id for one in by_name["wrong-name"]])
        incidents = service_incidents.listed(conn)
    alone = {
        name: [one for one in found if one.type == "drift.updated"]
        for name, found in by_name.items()
    }
    assert {len(found) for found in alone.values()} == {len(wanted)} or (
        # What is decided after it was disabled is not kept for it.
        len(alone["gone"]) < len(wanted)
    )
    for name in ("fickle", "good"):
        assert {one.state for one in alone[name]} == {"delivered"}, name
    assert {one.state for one in alone["gone"]} == {"dead"}
    # One that was cut off by a kill is not known to have been the last.
    assert all(one.attempts <= 10 + dispatching.killed for one in alone["wrong-name"])
    said = {each.error for attempts in tried.values() for each in attempts if each.error}
    assert any("certificate" in words for words in said)
    assert "gone" in {one.name for one in incidents}
    # The control: it was as bad as it was meant to be.
    assert dispatching.killed >= 3, dispatching.killed
    assert len(fickle.ways) == 9, fickle.ways
