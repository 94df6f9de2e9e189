"""Tokens for Kafka's OAUTHBEARER, by OIDC client credentials: fetched, kept, renewed in time.

The only module besides `driftline.producer` that imports kafka-python when it is imported: it is
imported where such tokens are used. No message tells the secret or a token.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from kafka.net.sasl.oauth import AbstractTokenProvider

from driftline.errors import BrokerUnavailable, ConfigError

# Kafka's client waits for it while it connects: a server that is there needs far less.
TIMEOUT_S: Final = 3.0
# A token is renewed so long before its end, or by a fifth of its life where that is shorter.
EARLY_S: Final = 60.0
# Of a server that does not say for how long.
LIFE_S: Final = 300.0
# After a refusal the next connection soon asks again.
AGAIN_S: Final = 1.0


class TokenRefused(BrokerUnavailable):
    """The token server gave no token: says why, without the secret."""


class OidcTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Fetches tokens by client credentials; from any thread.

    Parameters
    ----------
    token_url
        https://..., or http:// on loopback.
    client_id, client_secret
        Sent as HTTP Basic (RFC 6749, 2.3.1).
    scope
        What the token is to allow.
    cafile
        PEM file of the authority that signed the server's certificate; the system's if None.

    Attributes
    ----------
    fault : TokenRefused or None
        Why the last try brought nothing.

    Raises
    ------
    ConfigError
        An address that cannot be, or a file that holds no certificates.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        cafile: str | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.url, self._id, self._secret = checked_url(token_url), client_id, client_secret
        self._scope, self._monotonic = scope, monotonic
        try:
            self._tls = ssl.create_default_context(cafile=cafile or None)
        except OSError as error:
            raise ConfigError(
                "kafka.sasl_oauth_cafile", "settings", cafile,
                f"a readable PEM file with certificates of authorities ({error.strerror or error})",
            ) from None  # fmt: skip
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at_s = self._over_at_s = self._again_at_s = -1.0
        self.fault: TokenRefused | None = None

    def __repr__(self) -> str:
        return f"OidcTokens({self.url!r}, client_id={self._id!r})"

    def token(self) -> str:
        """Return a token that is not over.

        Raises
        ------
        TokenRefused
            The server gives none, and the last one is over.
        """
        with self._lock:
            now = self._monotonic()
            if self._token and now < self._renew_at_s:
                return self._token
            is_over = now >= self._over_at_s
            if now < self._again_at_s:
                if self.fault is not None and is_over:
                    raise self.fault
                return self._token
            try:
                self._token, life_s = self._fetched()
            except TokenRefused as error:
                self.fault, self._again_at_s = error, now + AGAIN_S
                if is_over:
                    raise
            else:
                self.fault = None
                self._over_at_s = now + life_s
                self._renew_at_s = self._over_at_s - min(EARLY_S, life_s / 5)
            return self._token

    def left_s(self) -> float:
        """Return for how many seconds the last token is good still; 0 where there is none."""
        with self._lock:
            return max(0.0, self._over_at_s - self._monotonic()) if self._token else 0.0

    def _fetched(self) -> tuple[str, float]:
        import httpx2

        form = {"grant_type": "client_credentials"} | (
            {"scope": self._scope} if self._scope else {}
        )
        try:
            answer = httpx2.post(
                self.url, data=form, verify=self._tls, timeout=TIMEOUT_S, follow_redirects=False,
                auth=(quote(self._id, safe=""), quote(self._secret, safe="")),
            )  # fmt: skip
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise TokenRefused(f"the token server {self.url} does not answer ({why})") from None
        body = _object(answer)
        if answer.status_code != 200:
            words = " ".join(str(body[k]) for k in ("error", "error_description") if body.get(k))
            raise TokenRefused(
                f"the token server {self.url} refuses client {self._id}: "
                f"{answer.status_code} {words[:200].replace(self._secret, '***')}".rstrip()
            )
        token, life = body.get("access_token"), body.get("expires_in", LIFE_S)
        if not isinstance(token, str) or not token or not token.isascii():
            raise TokenRefused(f"the token server {self.url} answers without an access_token")
        try:
            return token, max(1.0, float(life))
        except (TypeError, ValueError):
            return token, LIFE_S


def checked_url(url: str) -> str:
    """Return the address of a token server: the secret must not go over the network in plain text.

    Raises
    ------
    ConfigError
        It is none, or not secured.

    Examples
    --------
    >>> checked_url("https://id.example.com/token"), checked_url("http://127.0.0.1:8080/token")
    ('https://id.example.com/token', 'http://127.0.0.1:8080/token')
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        host, port_is_right = "", False
    is_right = bool(host) and port_is_right and "@" not in url
    if not is_right or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        raise ConfigError(
            "kafka.sasl_oauth_token_url", "settings", url.partition("@")[2] or url,
            "https://..., or http:// on this machine: the client's secret is sent there",
        )  # fmt: skip
    return url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _object(answer: Any) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
