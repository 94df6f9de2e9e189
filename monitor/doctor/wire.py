"""What a port is, seen from its bytes: does it answer, by TLS or in plain text, as Kafka does?

kafka-python tells none of this apart ("Unable to bootstrap"), so the first steps of a connection
are taken here by hand: the TCP connection, the TLS handshake with the same certificates, and the
one question that every broker answers before any login (which versions it speaks).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from monitor.doctor.check import ASK_S

_API_VERSIONS: Final = 18
_CORRELATION: Final = 0x64726674
# A TLS alert begins so; a broker's answer begins with its length, which is never as large.
_TLS_ALERT: Final = b"\x15\x03"
# X509_V_ERR_...: the name differs, the certificate is over.
_WRONG_NAME: Final = frozenset({62, 64})
_EXPIRED: Final = frozenset({9, 10})


@dataclass(frozen=True)
class Met:
    """How a port answered.

    Attributes
    ----------
    fault
        One word, "" = it speaks Kafka as it is told to: unreachable, untrusted, wrong_name,
        expired, plain_here, tls_here, refused_us, not_kafka.
    detail
        What the system or the library said.
    """

    fault: str = ""
    detail: str = ""


def meet(host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float = ASK_S) -> Met:
    """Return how the port answers a client that speaks TLS, or, with None, plain text."""
    try:
        plain = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        return Met("unreachable", _words(error))
    with plain:
        if tls is None:
            return _ask(plain, is_tls=False)
        try:
            secured = tls.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            kind = (
                "wrong_name" if error.verify_code in _WRONG_NAME
                else "expired" if error.verify_code in _EXPIRED
                else "untrusted"
            )  # fmt: skip
            return Met(kind, error.verify_message)
        except ssl.SSLError as error:
            return Met(_handshake_fault(error), _words(error))
        except OSError as error:
            # A broker takes the greeting for an absurd length, and hangs up.
            return Met("plain_here", _words(error))
        with secured:
            return _ask(secured, is_tls=True)


def _handshake_fault(error: ssl.SSLError) -> str:
    reason = (error.reason or "").upper()
    if isinstance(error, ssl.SSLEOFError) or "EOF" in reason or "WRONG_VERSION" in reason:
        return "plain_here"
    if "RECORD_LAYER" in reason or "PACKET_LENGTH" in reason or "HTTP" in reason:
        return "plain_here"
    if "ALERT" in reason or "CERTIFICATE_REQUIRED" in reason:
        return "refused_us"
    return "untrusted"


def _ask(sock: socket.socket, *, is_tls: bool) -> Met:
    client = b"driftline-doctor"
    body = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, len(client)) + client
    answer = b""
    try:
        sock.sendall(struct.pack(">i", len(body)) + body)
        while len(answer) < 8:
            more = sock.recv(64)
            if not more:
                break
            answer += more
    except ssl.SSLError as error:
        # By TLS 1.3 a server says only now that it wants to know us.
        return Met("refused_us", _words(error))
    except TimeoutError:
        return Met("not_kafka", "it says nothing")
    except OSError as error:
        return Met("not_kafka" if is_tls else "tls_here", _words(error))
    finally:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    if answer.startswith(_TLS_ALERT):
        return Met("tls_here", "it answered with a TLS alert")
    if len(answer) < 8:
        return Met("not_kafka" if is_tls else "tls_here", "it hung up")
    (correlation,) = struct.unpack(">i", answer[4:8])
    if correlation != _CORRELATION:
        return Met("not_kafka", f"it answered {answer[:8]!r}")
    return Met()


def reaches(places: Sequence[tuple[str, int]], timeout_s: float) -> list[str]:
    """Return why each address that does not answer does not, "host:port: reason"."""
    silent = []
    for host, port in places:
        try:
            socket.create_connection((host, port), timeout=timeout_s).close()
        except OSError as error:
            silent.append(f"{host}:{port}: {_words(error)}")
    return silent


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()[:200]
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror or str(error) or type(error).__name__)[:200]
