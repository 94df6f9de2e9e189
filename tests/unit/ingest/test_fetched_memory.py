"""How kafka-python's answers come in: in few pieces, into memory that is there already."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from kafka.net.inet import KafkaNetSocket

from consumers import heap, sockets

THRESHOLDS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
# Answers of a broker come and go, each through some buffers of its size.
PROGRAM = """
import json, resource, sys
from consumers.heap import keep_pages

is_kept = "keep" in sys.argv and keep_pages()
def answers(n):
    for _ in range(n):
        buffers = [bytearray(8 << 20) for _ in range(3)]
        del buffers
answers(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
answers(10)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([is_kept, faults]))
"""


def ran(*arguments: str, **more: str) -> tuple[bool, int]:
    """Whether pages were kept, and how many the kernel handed out in ten answers."""
    clean = {name: value for name, value in os.environ.items() if name not in THRESHOLDS}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=clean | more, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    is_kept, faults = json.loads(done.stdout)
    return is_kept, faults


def test_a_socket_gives_what_is_there_and_not_what_was_asked_for() -> None:
    """kafka-python asks for 4 KB."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        KafkaNetSocket(sockets.DIRECT).socket(socket.AF_INET, socket.SOCK_STREAM, 0) as client,
    ):
        client.settimeout(10)
        client.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            peer.sendall(bytes(100_000))
        assert len(client.recv(4_096, socket.MSG_WAITALL)) == 100_000
        assert repr(client) == f"<socket {client.fileno()}>"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other allocators")
def test_memory_of_an_answer_is_there_for_the_next_one() -> None:
    is_kept, kept = ran("keep")
    if not is_kept:
        pytest.skip("this C library is not glibc")
    assert kept < 1_000, "three buffers of 8 MB have 6,144 pages"
    assert ran()[1] > 10_000, "unasked, glibc returns them each time"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other allocators")
@pytest.mark.parametrize("name", THRESHOLDS)
def test_who_set_glibc_s_thresholds_is_heeded(name: str) -> None:
    value = "glibc.malloc.tcache_count=7" if name == "GLIBC_TUNABLES" else "8000000"
    assert ran("keep", **{name: value})[0] is False


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError("libc.so.6: cannot open shared object file")

    for name in THRESHOLDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(heap.ctypes, "CDLL", missing)
    assert heap.keep_pages() is False
