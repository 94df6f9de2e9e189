"""One Driftline server over HTTP: requests, when they are made again, and what answers mean.

Requests that may be made twice are, while the server is not there; an answer that says no becomes
an error of `driftline.errors`. What is asked for, `driftline.client` and `driftline.reading` know.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import msgspec

from driftline.errors import ApiConflict, ApiError, AuthenticationError, ServerUnavailable
from driftline.program import command

# Waits between tries; a server that restarts is back within them.
RETRY_WAITS_S: Final = (0.2, 0.6, 1.5)
# Answers that say "not now": the same request may succeed in a moment.
RETRYABLE: Final = frozenset({429, 502, 503, 504})


class Http:
    """A connection; from any thread.

    Parameters
    ----------
    url, token, timeout_s
        As in `driftline.Client`.

    Raises
    ------
    ApiError
        `url` does not begin with http:// or https://, or no header can carry the token.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        headers = {"accept": "application/json"}
        given = os.environ.get("DRIFTLINE_TOKEN", "") if token is None else token
        if given.strip():
            headers["authorization"] = f"Bearer {_header_text(given.strip())}"
        self.url = url.rstrip("/")
        if not self.url.lower().startswith(("http://", "https://")):
            raise ApiError(
                0, f"{url!r} is no address of a server", f"write http:// before it: http://{url}"
            )
        self._timeout_s = timeout_s
        self._client = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        content_type: str = "application/json",
        params: Mapping[str, Any] | None = None,
        patience_s: float | None = None,
    ) -> Any:
        """Make a request that may be made twice, and return its answer's JSON.

        Parameters
        ----------
        patience_s
            How long to wait for an answer that takes the server's time; once sent it is not
            asked for again, as the server would work twice.

        Raises
        ------
        ServerUnavailable
            The server cannot be reached, or is not ready, after some tries.
        ApiError
            It answered that it will not do this.
        """
        headers = {"content-type": content_type} if content is not None else {}
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                response = self._client.request(
                    method, path, content=content, params=params, headers=headers,
                    timeout=httpx2.USE_CLIENT_DEFAULT if patience_s is None
                    else httpx2.Timeout(self._timeout_s, read=patience_s),
                )  # fmt: skip
            except httpx2.InvalidURL as error:
                raise ApiError(0, f"{self.url} is no address", str(error)) from None
            except httpx2.TransportError as error:
                is_asked = not isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
                if wait_s is None or (patience_s is not None and is_asked):
                    raise self._unavailable(error, patience_s) from None
            else:
                if response.status_code not in RETRYABLE or wait_s is None:
                    return _result(response)
            time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def write(self, path: str, content: bytes, *, content_type: str) -> Any:
        """POST what must not be written twice: again only where nothing has left.

        Raises
        ------
        ServerUnavailable, ApiError
            As `call`.
        """
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                response = self._client.post(
                    path, content=content, headers={"content-type": content_type}
                )
            except httpx2.TransportError as error:
                if isinstance(error, httpx2.ConnectError) and wait_s is not None:
                    time.sleep(wait_s)
                    continue
                raise self._unavailable(error) from error
            return _result(response)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _unavailable(
        self, error: httpx2.TransportError, patience_s: float | None = None
    ) -> ServerUnavailable:
        if isinstance(error, httpx2.ReadTimeout):
            return ServerUnavailable(
                0,
                f"{self.url} has not answered within {patience_s or self._timeout_s:g} s",
                "it is there, and busy: ask again later",
            )
        return ServerUnavailable(
            0,
            f"no Driftline server answers at {self.url}",
            f"{str(error) or type(error).__name__}; start one with `{command('up')}`",
        )


def _result(response: httpx2.Response) -> Any:
    if response.is_success:
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise ApiError(
                response.status_code,
                "the answer is not JSON",
                f"is {response.url} a Driftline server?",
            ) from None
    try:
        problem = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    title = str(problem.get("title") or f"the server answered {response.status_code}")
    said = [str(problem[key]) for key in ("detail", "mend") if problem.get(key)]
    if response.status_code == 401:
        raise AuthenticationError(title)
    kind = ServerUnavailable if response.status_code in RETRYABLE else ApiError
    if response.status_code == 409:
        kind = ApiConflict
    raise kind(response.status_code, title, "; ".join(part.removesuffix(".") for part in said))


def _header_text(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        # The token itself is in no message.
        raise ApiError(0, "the token cannot be sent", "it must be ASCII text of one line")
    return token
