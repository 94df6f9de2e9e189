"""Why a broker does not take a connection, in a sentence.

kafka-python says the same of a wrong password, an unknown authority and a mechanism that the
broker does not know ("Unable to bootstrap"); what happened it tells to its log alone. So its log
is listened to while a connection is made.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def overheard(*, is_quiet: bool = False) -> Iterator[list[BaseException]]:
    """Yield what kafka-python's connections fail with until the block ends.

    `is_quiet` keeps its lines from everybody else meanwhile, and hears them whatever is set.
    """
    heard: list[BaseException] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            args = record.args if isinstance(record.args, tuple) else ()
            found = [arg for arg in args if isinstance(arg, BaseException)]
            if record.exc_info and record.exc_info[1] is not None:
                found.append(record.exc_info[1])
            for error in found:
                heard.append(error)
                cause = error.__cause__ or error.__context__
                if cause is not None:
                    heard.append(cause)

    logger, listener = logging.getLogger("kafka"), Listener(logging.WARNING)
    before = (logger.level, logger.propagate)
    logger.addHandler(listener)
    if is_quiet:
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    try:
        yield heard
    finally:
        logger.removeHandler(listener)
        if is_quiet:
            logger.setLevel(before[0])
            logger.propagate = before[1]


def refusal(heard: Sequence[BaseException], options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what a broker refuses and what mends it; None where nothing was said.

    Parameters
    ----------
    heard
        What the connections failed with, the first first.
    options
        kafka-python's.
    """
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
    if mechanism and any("disconnected" in str(error) for error in heard):
        # Its answer and the end of the connection came together: kafka-python drops the answer.
        who = f"user {user}, {mechanism}" if user else str(mechanism)
        return f"it hangs up at the login ({who})", (
            "the credentials are others there, or it does not take kafka.sasl_mechanism"
        )
    if any(isinstance(error, ssl.SSLEOFError) for error in heard):
        return "it ended the TLS handshake", (
            "it may ask for a certificate of ours (kafka.ssl_certfile), or speak plain text there"
        )
    return None


def said(error: BaseException) -> str:
    """Return what an error says, without the names that kafka-python puts before it."""
    lines = str(error).splitlines()
    words = lines[0].rpartition("Error: ")[2].strip() if lines else ""
    return words[:300] or type(error).__name__


def tls_words(error: ssl.SSLError) -> str:
    """Return the reason of a TLS fault as words."""
    return (error.reason or str(error)).replace("_", " ").lower()[:200]
