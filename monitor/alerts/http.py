"""One attempt over HTTP: dial a checked address, send, read the answer's beginning, and be done.

The name is resolved here, once, and the address that was checked is the one that is dialled;
nothing in between asks the name again. Redirects are not followed, proxies of the environment
are not asked, and one deadline covers everything, so that a receiver that hangs or sends a byte
a second takes no longer than one that never answers. It is httpcore2 (below httpx2) because
that is where a connection is made.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpcore2

from driftline import __version__
from driftline.errors import InvalidEndpoint
from monitor.alerts.guard import Address, Network, Refused, Target, checked, resolve, target_of
from monitor.alerts.schedule import Answer

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 4_096
USER_AGENT: Final = f"Driftline/{__version__}"
# A body is written in pieces, so that the deadline is looked at in between.
_PIECE_BYTES: Final = 16_384

Resolve = Callable[[str, int], Sequence[Address]]


class _Late(httpcore2.TimeoutException):
    """The deadline is over."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back of one request.

    Attributes
    ----------
    status
        Of the answer; None without one.
    error
        Why there was none, in one line.
    headers
        The answer's, the names in lower case.
    body
        Its beginning, as many bytes as were asked for; less where it breaks off.
    """

    status: int | None = None
    error: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Caller:
    """Makes one request over HTTP.

    Parameters
    ----------
    allow
        Networks that may be reached although they are on the deny list.
    timeout_s
        For one request, from the name's resolution to the answer's end.
    resolve
        How a name becomes addresses.
    tls
        What certificates are trusted; the system's by default.
    """

    def __init__(
        self,
        allow: Sequence[Network] = (),
        *,
        timeout_s: float = TIMEOUT_S,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow, self._timeout_s, self._resolve = tuple(allow), timeout_s, resolve
        self._tls = tls or httpcore2.default_ssl_context()

    def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        most_bytes: int = MAX_ANSWER_BYTES,
        timeout_s: float | None = None,
    ) -> Response:
        """Send a request, and return at most `most_bytes` of what came back; nothing is raised.

        `timeout_s` is for this one, where it has less time than the others.
        """
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        deadline_s = time.monotonic() + limit_s
        try:
            return self._call(method, target_of(url), headers, body, most_bytes, deadline_s)
        except Exception as error:  # noqa: BLE001 - whatever a receiver does is one failed attempt
            return Response(error=_words(error, limit_s))

    def _call(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        most_bytes: int,
        deadline_s: float,
    ) -> Response:
        sent = {
            "host": target.authority,
            "user-agent": USER_AGENT,
            "accept": "*/*",
            # What is shown to people must not have to be unpacked.
            "accept-encoding": "identity",
            "connection": "close",
            **({} if method == "GET" else {"content-length": str(len(body))}),
            **headers,
        }
        dialler = _Dialler(target, self._resolve, self._allow, deadline_s)
        url = httpcore2.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        with (
            httpcore2.ConnectionPool(ssl_context=self._tls, network_backend=dialler) as pool,
            pool.stream(method, url, headers=list(sent.items()), content=body) as response,
        ):
            found = {n.decode("latin-1").lower(): v.decode("latin-1") for n, v in response.headers}
            return Response(
                response.status, None, found, _beginning(response.iter_stream(), most_bytes)
            )


class Poster:
    """Sends bodies to endpoints; the parameters are a `Caller`'s."""

    def __init__(self, allow: Sequence[Network] = (), **more: Any) -> None:
        self._call = Caller(allow, **more)

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body to a URL, and return what came back; nothing is raised."""
        told = self._call("POST", url, headers, body)
        return Answer(told.status, told.error, told.headers.get("retry-after"), text(told.body))


def text(body: bytes) -> str:
    """Return an answer's beginning as it is stored and shown."""
    # No database keeps a NUL in a text.
    return body[:MAX_ANSWER_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")


class _Dialler(httpcore2.NetworkBackend):
    """Connects to the checked addresses of one target, whatever name it is asked for."""

    def __init__(
        self, target: Target, resolve: Resolve, allow: Sequence[Network], deadline_s: float
    ) -> None:
        self._target, self._resolve, self._allow = target, resolve, allow
        self._deadline_s = deadline_s
        self._system = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = resolved(self._resolve, self._target, self._deadline_s)
        checked(self._target, addresses, self._allow)
        failed: Exception = OSError(f"{self._target.host} has no address")
        for place, address in enumerate(addresses):
            # The last one may take all the time that is left, each before it its share.
            share_s = _left(self._deadline_s) / (len(addresses) - place)
            try:
                stream = self._system.connect_tcp(str(address), self._target.port, share_s)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
            else:
                return _Stream(stream, self._deadline_s)
        raise failed


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step ends at the deadline."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline_s: float) -> None:
        self._inner, self._deadline_s = inner, deadline_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._deadline_s))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._inner.write(buffer[start : start + _PIECE_BYTES], _left(self._deadline_s))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _left(self._deadline_s))
        return _Stream(inner, self._deadline_s)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise _Late
    return left_s


def resolved(resolve: Resolve, target: Target, deadline_s: float) -> Sequence[Address]:
    """The addresses of a host; a name server that does not answer is not waited for for ever."""
    found: list[Sequence[Address]] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.append(resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:
            failed.append(OSError(f"{target.host} has no address: {error}"))

    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(_left(deadline_s))
    if failed:
        raise failed[0]
    if not found:
        raise OSError(f"no name server said where {target.host} is")
    return found[0]


def _beginning(chunks: Iterable[bytes], most_bytes: int) -> bytes:
    """The first bytes of an answer; that it breaks off later changes nothing."""
    kept = bytearray()
    try:
        for chunk in chunks:
            kept += chunk[: most_bytes - len(kept)]
            if len(kept) >= most_bytes:
                break
    except Exception:  # noqa: BLE001 - the status was read: that is the answer
        pass
    return bytes(kept)


def _words(error: Exception, timeout_s: float) -> str:
    """Why there was no answer, in one line."""
    said = " ".join(str(error).split())
    if isinstance(error, httpcore2.TimeoutException):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, Refused | InvalidEndpoint | OSError):
        return said
    if isinstance(error, httpcore2.ConnectError):
        return f"no connection: {said}"
    if isinstance(error, httpcore2.NetworkError):
        return f"the connection broke: {said}"
    if isinstance(error, httpcore2.ProtocolError):
        return f"the connection gave no HTTP answer: {said}"
    return f"{type(error).__name__}: {said}"
