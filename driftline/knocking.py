"""What a broker answers to a login, asked by hand where Kafka's client has lost the answer.

A broker sends its refusal and hangs up; where both arrive together, kafka-python drops the one for
the other and knows no more than "socket disconnected". So the login is made once more, with the
same credentials, by reads that take the answer first. It must not be used for anything else: the
connection is closed as soon as the broker has answered.
"""

from __future__ import annotations

import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

# Comes on top of the client's own tries, and all is to be told within 10 s.
KNOCK_S: Final = 3.0
# Kafka's numbers of the requests, at versions that every broker since 1.0 takes.
_HANDSHAKE: Final = (17, 1)
_AUTHENTICATE: Final = (36, 0)
_CLIENT: Final = b"driftline"
# More than any answer to a login holds: what is longer is no Kafka's.
_MAX_BYTES: Final = 1_000_000
# Logins of more turns there are none.
_TURNS: Final = 10


class HungUp(Exception):
    """The broker took the mechanism and ended the connection without a word at the login."""


def answer(
    brokers: Sequence[str], options: Mapping[str, Any], timeout_s: float = KNOCK_S
) -> Exception | None:
    """Return what the first broker that answers refuses a login with.

    None: it lets us in, none of them answers, or the settings ask for no login.

    Parameters
    ----------
    brokers
        As HOST:PORT.
    options
        kafka-python's.
    timeout_s
        For all of them together.

    Returns
    -------
    exception
        kafka-python's UnsupportedSaslMechanismError, IllegalSaslStateError or
        SaslAuthenticationFailedError, with the broker's words; `HungUp`.
    """
    protocol = str(options.get("security_protocol", ""))
    if not protocol.startswith("SASL") or options.get("proxy_url"):
        return None
    until_s = time.monotonic() + timeout_s
    for broker in brokers:
        host, _, port = broker.strip().rpartition(":")
        try:
            with _Connection(host.strip("[]"), int(port), options, until_s) as connection:
                return _login(connection, options)
        except (OSError, EOFError, ValueError, struct.error):
            continue  # the next one may answer
    return None


def _login(connection: _Connection, options: Mapping[str, Any]) -> Exception | None:
    from kafka import errors
    from kafka.net.sasl import get_sasl_mechanism

    name = str(options["sasl_mechanism"])
    code, answered = connection.ask(_HANDSHAKE, _text(name))
    if code == errors.UnsupportedSaslMechanismError.errno:
        takes = ", ".join(_texts(answered))
        return _made(errors.UnsupportedSaslMechanismError, f"it takes {takes or 'none'}")
    if code:
        return _made(errors.for_code(code))
    try:
        mechanism = get_sasl_mechanism(name)(host=connection.host, **options)
        for _ in range(_TURNS):
            if mechanism.is_done():
                break
            token = mechanism.auth_bytes()
            code, answered = connection.ask(_AUTHENTICATE, struct.pack(">i", len(token)) + token)
            words, rest = _text_of(answered)
            if code:
                words = words or "it does not say why"
                return _made(errors.SaslAuthenticationFailedError, words)
            mechanism.receive(_bytes_of(rest))
    except EOFError:
        return HungUp()
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - of a mechanism: whatever it finds wrong is not the broker's
        return None
    return None


def _made(kind: Any, *words: str) -> Exception:
    error: Exception = kind(*words)
    return error


class _Connection:
    """Asks and waits; ends with the block."""

    def __init__(self, host: str, port: int, options: Mapping[str, Any], until_s: float) -> None:
        import socket

        self.host, self._until_s = host, until_s
        plain = socket.create_connection((host, port), timeout=self._left_s())
        self._socket = plain
        if str(options.get("security_protocol")).endswith("SSL"):
            try:
                # It takes the plain one over, and closes it where the handshake fails.
                self._socket = _tls(options).wrap_socket(
                    plain, server_hostname=host.rstrip(".")
                )  # fmt: skip
            except BaseException:
                plain.close()
                raise

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, what: tuple[int, int], body: bytes) -> tuple[int, bytes]:
        """Return the code and the rest of the answer; EOFError where there is none."""
        head = struct.pack(">hhih", *what, 1, len(_CLIENT)) + _CLIENT
        self._socket.settimeout(self._left_s())
        self._socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (length,) = struct.unpack(">i", self._read(4))
        if not 6 <= length <= _MAX_BYTES:
            raise ValueError(f"no answer of Kafka: {length} bytes")
        answered = self._read(length)
        (code,) = struct.unpack(">h", answered[4:6])
        return code, answered[6:]

    def _read(self, n: int) -> bytes:
        found = b""
        while len(found) < n:
            self._socket.settimeout(self._left_s())
            try:
                more = self._socket.recv(n - len(found))
            except (ConnectionError, ssl.SSLEOFError):
                more = b""
            if not more:
                raise EOFError
            found += more
        return found

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext:
    """The same as kafka-python makes of its options."""
    given = options.get("ssl_context")
    if isinstance(given, ssl.SSLContext):
        return given
    context = ssl.create_default_context(cafile=options.get("ssl_cafile") or None)
    context.check_hostname = bool(options.get("ssl_check_hostname", True))
    if options.get("ssl_certfile"):
        context.load_cert_chain(
            options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password")
        )
    return context


def _text(words: str) -> bytes:
    raw = words.encode()
    return struct.pack(">h", len(raw)) + raw


def _text_of(raw: bytes) -> tuple[str, bytes]:
    """The text that some bytes begin with, "" for none, and the rest."""
    (length,) = struct.unpack(">h", raw[:2])
    end = 2 + max(0, length)
    return raw[2:end].decode(errors="replace"), raw[end:]


def _texts(raw: bytes) -> list[str]:
    (n,), rest, found = struct.unpack(">i", raw[:4]), raw[4:], []
    for _ in range(max(0, n)):
        one, rest = _text_of(rest)
        found.append(one)
    return found


def _bytes_of(raw: bytes) -> bytes:
    (length,) = struct.unpack(">i", raw[:4])
    return raw[4 : 4 + max(0, length)]
