"""Sockets from which kafka-python takes as much at once as is there.

It asks a socket for 4 KB at a time, until nothing is left: of a fetch of 4 MB that is a thousand
calls, each of which lets go of the interpreter and waits for it again. And its selector looks a
socket up by an error that quotes it, for which the system is asked two addresses. A scheme of a
proxy's address names a class that makes the sockets (`kafka.net.inet`), so ours does; of a fetch
of large records half of the client's processor time goes. TLS takes a socket's file away and
reads records of 16 KB by itself: nothing changes there.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from kafka.net.inet import KafkaNetSocket

# Of 64 KB the answer is put together from so many pieces that a tenth of the gain is lost.
AT_ONCE: Final = 256 * 1024
# What `proxy_url` is to be; there is no proxy.
DIRECT: Final = "driftline-direct://"


class _Socket(socket.socket):
    """A socket that is read in large pieces and quoted in few words."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what is there, also more than was asked for."""
        return super().recv(max(size, AT_ONCE), flags)

    def __repr__(self) -> str:
        return f"<socket {self.fileno()}>"


class _Sockets(KafkaNetSocket):  # type: ignore[misc]
    """Makes them."""

    SCHEMES = (DIRECT.partition(":")[0],)

    def socket(self, *kind: Any) -> socket.socket:
        """Return a new one."""
        return _Socket(*kind)
