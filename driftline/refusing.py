"""Why a broker does not take a connection, in a sentence.

kafka-python says the same of a wrong password, an unknown authority and a mechanism that the
broker does not know ("Unable to bootstrap"); what happened it tells to its log alone. So its log
is listened to while a connection is made.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from driftline.errors import NotAllowed
from driftline.knocking import HungUp, answer


class _Listener(logging.Handler):
    """Keeps the errors that lines of a log bear, and their causes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        args = record.args if isinstance(record.args, tuple) else ()
        found = [arg for arg in args if isinstance(arg, BaseException)]
        if record.exc_info and record.exc_info[1] is not None:
            found.append(record.exc_info[1])
        for error in found:
            self.heard.append(error)
            cause = error.__cause__ or error.__context__
            if cause is not None:
                self.heard.append(cause)


class _Ear:
    """Opens kafka-python's log while anybody listens, and leaves it as it was found."""

    def __init__(self) -> None:
        self._log = logging.getLogger("kafka")
        self._lock = threading.Lock()
        self._listeners: list[_Listener] = []
        self._found = (logging.NOTSET, True)
        # Handlers that are kept from reading meanwhile.
        self._kept: list[logging.Handler] = []

    def listen(self, *, is_quiet: bool) -> _Listener:
        listener = _Listener()
        with self._lock:
            if not self._listeners:
                self._found = (self._log.level, self._log.propagate)
            is_muted = self._log.getEffectiveLevel() > logging.WARNING
            if is_quiet or is_muted:
                # What others did not ask for they are not to read now.
                for other in [h for h in self._log.handlers if h not in self._listeners]:
                    self._log.removeHandler(other)
                    self._kept.append(other)
                self._log.propagate = False
                self._log.setLevel(logging.WARNING)
            self._listeners.append(listener)
            self._log.addHandler(listener)
        return listener

    def stop(self, listener: _Listener) -> None:
        with self._lock:
            self._log.removeHandler(listener)
            self._listeners.remove(listener)
            if not self._listeners:
                level, self._log.propagate = self._found
                self._log.setLevel(level)
                for other in self._kept:
                    self._log.addHandler(other)
                self._kept.clear()


_ear = _Ear()


@contextmanager
def overheard(*, is_quiet: bool = False) -> Iterator[list[BaseException]]:
    """Yield what kafka-python's connections fail with until the block ends.

    It is heard whatever level its log is set to. `is_quiet` keeps its lines from everybody else
    meanwhile.
    """
    listener = _ear.listen(is_quiet=is_quiet)
    try:
        yield listener.heard
    finally:
        _ear.stop(listener)


def refusal(
    heard: Sequence[BaseException], options: Mapping[str, Any], brokers: Sequence[str] = ()
) -> tuple[str, str] | None:
    """Return what a broker refuses and what mends it; None where nothing was said.

    Parameters
    ----------
    heard
        What the connections failed with, the first first.
    options
        kafka-python's.
    brokers
        As HOST:PORT: one that hung up is asked once more for what it refuses.
    """
    found = _told(heard, options)
    # The client is also told which mechanisms a broker takes, and does not pass it on.
    is_half = any(type(error).__name__ == "UnsupportedSaslMechanismError" for error in heard)
    if is_half or (found is None and any(_is_hang_up(error) for error in heard)):
        answered = answer(brokers, options)
        found = found if answered is None else _told([answered], options)
    if found is None and any(isinstance(error, ssl.SSLEOFError) for error in heard):
        return "it ended the TLS handshake", (
            "it may ask for a certificate of ours (kafka.ssl_certfile), or speak plain text there"
        )
    return found


def _is_hang_up(error: BaseException) -> bool:
    return isinstance(error, ConnectionError) or "socket disconnected" in str(error)


def _told(heard: Sequence[BaseException], options: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first error that says why, in words."""
    mechanism = options.get("sasl_mechanism")
    user = options.get("sasl_plain_username")
    provider = options.get("sasl_oauth_token_provider")
    fault = getattr(provider, "fault", None)
    if fault is not None:
        return str(fault), (
            "look at kafka.sasl_oauth_token_url, kafka.sasl_oauth_client_id and its secret, "
            "kafka.sasl_oauth_scope"
        )
    for error in heard:
        name, words = type(error).__name__, said(error)
        if name == "SaslAuthenticationFailedError":
            if mechanism == "OAUTHBEARER":
                return f"it refuses the token: {words}", (
                    "its issuer, audience or scope is not what the broker asks for, or it is over"
                )
            if mechanism == "AWS_MSK_IAM":
                return f"it refuses these AWS credentials: {words}", (
                    "look at the credentials that AWS finds here, their policy, and "
                    "AWS_DEFAULT_REGION"
                )
            return f"it refuses user {user}: {words}", (
                "the user is unknown there or the password is another: kafka.sasl_username, "
                "kafka.sasl_password"
            )
        if name == "UnsupportedSaslMechanismError":
            return (
                f"it does not take {mechanism}: {words}",
                "set kafka.sasl_mechanism to one that it takes",
            )
        if name == "IllegalSaslStateError":
            return "it asks for no login on this port", (
                "set kafka.security_protocol to SSL or PLAINTEXT, or name the port of its SASL "
                "listener"
            )
        if isinstance(error, HungUp):
            who = f"user {user}, {mechanism}" if user else str(mechanism)
            return f"it hangs up at the login ({who})", (
                "the credentials are others there; the broker's log says which"
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}", (
                "name the authority that signed it in kafka.ssl_cafile, and reach it by a name "
                "that the certificate bears"
            )
        if isinstance(error, ssl.SSLError) and (
            "ALERT" in (error.reason or "") or "CERTIFICATE_REQUIRED" in (error.reason or "")
        ):
            return f"it refuses us in the TLS handshake: {tls_words(error)}", (
                "give a certificate that it trusts: kafka.ssl_certfile, kafka.ssl_keyfile"
            )
    return None


def withheld(error: BaseException, topic: str) -> NotAllowed | None:
    """Return the right to write that a broker withholds, if that is what it answered.

    Who may write no topic at all is told of the cluster instead: it is refused the number by which
    its records are told apart, which WRITE on any topic gives.

    Examples
    --------
    >>> withheld(ValueError("no"), "events") is None
    True
    """
    names = ("TopicAuthorizationFailedError", "ClusterAuthorizationFailedError")
    if any(name in f"{type(error).__name__} {error}" for name in names):
        return NotAllowed(f"write to the topic {topic}", f"WRITE on topic {topic}")
    return None


def said(error: BaseException) -> str:
    """Return what an error says, without the names that kafka-python puts before it."""
    lines = str(error).splitlines()
    words = lines[0].rpartition("Error: ")[2].strip() if lines else ""
    return words[:300] or type(error).__name__


def tls_words(error: ssl.SSLError) -> str:
    """Return the reason of a TLS fault as words."""
    return (error.reason or str(error)).replace("_", " ").lower()[:200]
