"""Receivers of webhooks on real sockets: those that answer as told, and those that misbehave."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """A request as it arrived; the names of its headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """What arrived, and how the next request is answered: (status, headers, body)."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = field(
        default=lambda _: (204, {}, b"")
    )

    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    def wait_for(self, count: int, timeout_s: float = 20) -> list[Received]:
        """Return what arrived when it is `count` requests."""
        deadline_s = time.monotonic() + timeout_s
        while len(self.received) < count:
            assert time.monotonic() < deadline_s, f"{len(self.received)} of {count} arrived"
            time.sleep(0.01)
        return list(self.received)


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver that answers 204, or as its `answer` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Received(self.path, headers, body)
            receiver.received.append(got)
            status, more, content = receiver.answer(got)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A dispatcher that was killed leaves half a request behind."""

    server = Server((host, 0), Handler)
    receiver = Receiver(f"http://{host}:{server.server_address[1]}/hook")
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def misbehaving(behave: Behaviour) -> Iterator[str]:
    """The URL of a server that does to each connection what it likes, until the test is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behave(connection, over)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    finally:
        over.set()
        # Closing alone does not wake a thread that accepts.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(timeout=10)


def hang(connection: socket.socket, over: threading.Event) -> None:
    """Read, and never answer."""
    connection.recv(65_536)
    over.wait(60)


def reset(connection: socket.socket, over: threading.Event) -> None:
    """End the connection with a reset."""
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_at_once(connection: socket.socket, over: threading.Event) -> None:
    """Hear a request, and hang up."""
    connection.recv(65_536)


def _trickle(connection: socket.socket, over: threading.Event, byte: bytes) -> None:
    while not over.wait(0.05):
        connection.sendall(byte)


def trickle_head(connection: socket.socket, over: threading.Event) -> None:
    """Send headers for ever, a byte at a time."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
    _trickle(connection, over, b"a")


def trickle_body(connection: socket.socket, over: threading.Event) -> None:
    """Say 200, and then send a body for ever, a byte at a time."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    _trickle(connection, over, b"b")


def interim_for_ever(connection: socket.socket, over: threading.Event) -> None:
    """Say "not yet" for ever."""
    connection.recv(65_536)
    while not over.wait(0.02):
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")


def flood(connection: socket.socket, over: threading.Event) -> None:
    """Answer 100 MB."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
    for _ in range(1_000):
        connection.sendall(b"x" * 100_000)


def flood_head(connection: socket.socket, over: threading.Event) -> None:
    """Answer headers of 100 MB."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nx-big: ")
    for _ in range(1_000):
        connection.sendall(b"x" * 100_000)


def speak_smtp(connection: socket.socket, over: threading.Event) -> None:
    """Be another kind of server."""
    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")
    over.wait(60)


def never_read(connection: socket.socket, over: threading.Event) -> None:
    """Take nothing: what is sent fills the buffers and stays there."""
    over.wait(60)
