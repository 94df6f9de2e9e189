"""A gate before the embedded broker: what a broker may do to its clients, on demand.

Clients only know the gate's address. It passes bytes through, and can be shut (connections end,
new ones are refused) while the broker keeps its log, can hold answers back, and can refuse large
produce requests as Apache Kafka does (MESSAGE_TOO_LARGE), which the embedded broker never does.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka.protocol.producer import ProduceRequest, ProduceResponse

from monitor.cli.broker import _program, ensure_topic
from monitor.cli.processes import Child, free_port, wait_for_port

PRODUCE = 0
MESSAGE_TOO_LARGE = 10


class KafkaGate:
    """An embedded broker behind a gate, with a topic, as a context manager.

    Parameters
    ----------
    log
        File for the broker's output.
    """

    def __init__(self, log: Path, topic: str = "driftline.events", partitions: int = 4) -> None:
        self._log, self._topic, self._partitions = log, topic, partitions
        self._broker_port, self.port = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.epoch = uuid.uuid4().hex
        self.refuse_above_bytes: int | None = None
        self.refused = 0
        self.connections = 0
        self.produced = 0
        self._child: Child | None = None
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> Self:
        command = [_program(), "broker", "--listener-url", f"tcp://127.0.0.1:{self._broker_port}"]
        command += ["--advertised-listener-url", f"tcp://{self.bootstrap}"]
        command += ["--storage-engine", "memory://tansu/"]
        self._child = Child("broker", command, log=self._log, is_ours=False)
        assert wait_for_port(self._broker_port, self._child, 10.0), self._child.last_words()
        self.open()
        ensure_topic(self.bootstrap, self._topic, self._partitions)
        self.connections = self.produced = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_flow()
        self.shut()
        if self._child is not None:
            self._child.stop()

    def open(self) -> None:
        """Let clients in."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """End every connection and refuse new ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for found in list(self._open):
                _end(found)
            self._open.clear()

    def hold(self) -> None:
        """Keep requests: the broker seems to hang."""
        self._flows.clear()

    def let_flow(self) -> None:
        """Pass what was held, and what comes."""
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                client.close()
                continue
            with self._lock:
                self.connections += 1
                self._open |= {client, broker}
            answers = threading.Lock()
            for target, args in (
                (self._requests, (client, broker, answers)),
                (self._answers, (client, broker, answers)),
            ):
                threading.Thread(target=target, args=args, daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket, answers: Any) -> None:
        try:
            while (frame := _frame(client)) is not None:
                self._flows.wait()
                key, version, number = struct.unpack(">hhi", frame[:8])
                if key == PRODUCE:
                    with self._lock:
                        self.produced += 1
                limit = self.refuse_above_bytes
                if key == PRODUCE and limit is not None and len(frame) > limit:
                    with self._lock:
                        self.refused += 1
                    with answers:
                        client.sendall(_refusal(frame, version, number))
                else:
                    broker.sendall(struct.pack(">i", len(frame)) + frame)
        except OSError:
            pass
        finally:
            self._forget(client, broker)

    def _answers(self, client: socket.socket, broker: socket.socket, answers: Any) -> None:
        try:
            while (frame := _frame(broker)) is not None:
                with answers:
                    client.sendall(struct.pack(">i", len(frame)) + frame)
        except OSError:
            pass
        finally:
            self._forget(client, broker)

    def _forget(self, *found: socket.socket) -> None:
        for one in found:
            _end(one)
        with self._lock:
            self._open -= set(found)


def _refusal(frame: bytes, version: int, number: int) -> bytes:
    """The answer of a broker to whom every batch of a request is too large."""
    request: Any = ProduceRequest.decode(frame, version=version, header=True)
    kinds: Any = ProduceResponse.TopicProduceResponse
    responses = []
    for topic in request.topic_data:
        parts = [
            kinds.PartitionProduceResponse(
                index=part.index, error_code=MESSAGE_TOO_LARGE, base_offset=-1
            )
            for part in topic.partition_data
        ]
        named = {"topic_id": topic.topic_id} if version >= 13 else {"name": topic.name}
        responses.append(kinds(partition_responses=parts, **named))
    answer: Any = ProduceResponse(responses=responses, throttle_time_ms=0)
    answer.API_VERSION = version
    answer.with_header(correlation_id=number)
    return bytes(answer.encode(header=True, framed=True))


def _frame(found: socket.socket) -> bytes | None:
    head = _exactly(found, 4)
    return None if head is None else _exactly(found, struct.unpack(">i", head)[0])


def _exactly(found: socket.socket, n: int) -> bytes | None:
    read = bytearray()
    while len(read) < n:
        more = found.recv(min(1 << 20, n - len(read)))
        if not more:
            return None
        read += more
    return bytes(read)


def _end(found: socket.socket) -> None:
    with contextlib.suppress(OSError):
        found.shutdown(socket.SHUT_RDWR)
    found.close()
