"""How every process of the service reaches the brokers: settings to kafka-python's options.

One place, so that the consumer, the topics' verb, the API's producer and `doctor` say the same to
a broker. A combination of which a part would silently not be used is refused here: kafka-python
would connect without it, or say nothing but that it cannot.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from driftline.errors import ConfigError, MissingExtra
from driftline.program import command
from driftline.refusing import refusal
from monitor.config import KEYS, Settings, secret_from

# For one address, after the client has tried them all for seconds.
TRY_S: Final = 1.0
_FILES: Final = ("kafka.ssl_cafile", "kafka.ssl_certfile", "kafka.ssl_keyfile")
_PASSWORD: Final = ("kafka.sasl_username", "kafka.sasl_password", "kafka.sasl_password_file")
_OAUTH: Final = (
    "kafka.sasl_oauth_token_url",
    "kafka.sasl_oauth_client_id",
    "kafka.sasl_oauth_client_secret",
    "kafka.sasl_oauth_client_secret_file",
    "kafka.sasl_oauth_scope",
    "kafka.sasl_oauth_cafile",
)
_SASL: Final = ("kafka.sasl_mechanism", *_PASSWORD, *_OAUTH)


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options of kafka-python's clients for TLS and SASL; {} for plain text.

    Raises
    ------
    ConfigError
        A setting is absent that another one needs, or given where nothing would use it, or names
        a file that cannot be used.

    Examples
    --------
    >>> from monitor.config import load
    >>> client_options(load({}))
    {}
    >>> client_options(load({"DRIFTLINE_KAFKA__SASL_USERNAME": "me"}))
    Traceback (most recent call last):
    driftline.errors.ConfigError: kafka.sasl_username (DRIFTLINE_KAFKA__SASL_USERNAME): got 'me', \
expected kafka.security_protocol SASL_SSL or SASL_PLAINTEXT beside it: PLAINTEXT sends no login
    """
    protocol = settings.text("kafka.security_protocol")
    if protocol == "PLAINTEXT" and not _given(settings):
        return {}
    has_sasl, has_tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    if not has_sasl:
        _refuse_unused(settings, _SASL, f"SASL_SSL or SASL_PLAINTEXT beside it: {protocol} sends "
                       "no login")  # fmt: skip
    if not has_tls:
        _refuse_unused(settings, _FILES, f"SSL or SASL_SSL beside it: {protocol} encrypts nothing")
        if not settings.flag("kafka.ssl_check_hostname"):
            raise _error(
                settings, "kafka.ssl_check_hostname",
                f"kafka.security_protocol SSL or SASL_SSL beside it: {protocol} encrypts nothing",
            )  # fmt: skip
    options: dict[str, Any] = {"security_protocol": protocol}
    if has_sasl:
        options |= _login(settings)
    if has_tls:
        tls_context(settings)  # what cannot be loaded is said here, with its key
        options["ssl_check_hostname"] = settings.flag("kafka.ssl_check_hostname")
        for key in _FILES:
            if settings.text(key):
                options[key.removeprefix("kafka.")] = settings.text(key)
    return options


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return what verifies a broker, from the same files as kafka-python's.

    Raises
    ------
    ConfigError
        A file is not there, or holds no certificate or key.
    """
    for key in _FILES:
        file = settings.text(key)
        if file and not Path(file).is_file():
            raise _error(settings, key, "a file that is there")
    cafile = settings.text("kafka.ssl_cafile")
    try:
        context = ssl.create_default_context(cafile=cafile or None)
    except OSError as error:
        raise _error(
            settings, "kafka.ssl_cafile",
            f"a readable PEM file with certificates of authorities ({_words(error)})",
        ) from None  # fmt: skip
    context.check_hostname = settings.flag("kafka.ssl_check_hostname")
    certificate, private = settings.text("kafka.ssl_certfile"), settings.text("kafka.ssl_keyfile")
    if private and not certificate:
        raise _error(settings, "kafka.ssl_keyfile", "kafka.ssl_certfile beside it")
    if certificate:
        try:
            # Without a password of its own it would ask the terminal for one.
            context.load_cert_chain(certificate, private or None, password=lambda: "")
        except OSError as error:
            raise _error(
                settings, "kafka.ssl_certfile",
                "PEM files of a certificate and its key, which is not encrypted "
                f"({_words(error)})",
            ) from None  # fmt: skip
    return context


def addresses(bootstrap: str) -> list[tuple[str, int]]:
    """Return host and port of every broker that is named; those that are none are left out.

    Examples
    --------
    >>> addresses("kafka-1:9092, [::1]:9093,nonsense")
    [('kafka-1', 9092), ('::1', 9093)]
    """
    found = []
    for part in bootstrap.split(","):
        host, _, port = part.strip().rpartition(":")
        if host and port.isdigit() and 0 < int(port) < 65_536:
            found.append((host.strip("[]"), int(port)))
    return found


def unanswered(
    bootstrap: str,
    why: str,
    options: Mapping[str, Any],
    heard: Sequence[BaseException] = (),
) -> str:
    """Return the sentence for brokers that cannot be used: what was tried, and what mends it.

    Each address is tried once more, by itself, for a second: the client says the same of a name
    that nobody knows, of a closed port and of a wrong password.

    Parameters
    ----------
    why
        What the client said, for where the ports do answer.
    options
        TLS and SASL, see `client_options`.
    heard
        What its connections failed with, see `driftline.refusing`.

    Examples
    --------
    >>> unanswered("127.0.0.1:1", "Unable to bootstrap", {})
    'no Kafka broker answers at 127.0.0.1:1 (nothing listens there: Connection refused): start \
one, or name yours with --kafka HOST:PORT (kafka.bootstrap)'
    """
    tried = [_tried(host, port) for host, port in addresses(bootstrap)]
    silent = [said for said in tried if said]
    if silent and len(silent) == len(tried):
        said = "; ".join(silent) if len(tried) > 1 else silent[0].partition(" ")[2]
        mend = "start one, or name yours with --kafka HOST:PORT (kafka.bootstrap)"
        return f"no Kafka broker answers at {bootstrap} ({said}): {mend}"
    refused = refusal(heard, options, bootstrap.split(","))
    if refused is not None:
        what, mend = refused
        return f"the Kafka broker at {bootstrap} does not let us in: {what}; {mend}"
    said = f"no Kafka broker answers at {bootstrap}, though the port takes connections ({why}): "
    if options:
        return said + (
            "a wrong password or user and an untrusted certificate look the same; "
            f"`{command('doctor')}` tells them apart"
        )
    return said + (
        "what listens there may be no Kafka, or expect TLS (kafka.security_protocol); "
        f"`{command('doctor')}` tells"
    )


def _tried(host: str, port: int) -> str:
    """Address and fault of one that takes no connection; "" where it does."""
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=TRY_S).close()
    except (socket.gaierror, UnicodeError):
        return f"{at} the host's name {host} is not known here"
    except ConnectionRefusedError as error:
        return f"{at} nothing listens there: {error.strerror}"
    except TimeoutError:
        return f"{at} no answer within {TRY_S:g} s"
    except OSError as error:
        return f"{at} {error.strerror or error}"
    return ""


def _login(settings: Settings) -> dict[str, Any]:
    mechanism = settings.text("kafka.sasl_mechanism")
    protocol = settings.text("kafka.security_protocol")
    if not mechanism:
        raise _error(
            settings, "kafka.sasl_mechanism",
            "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM: "
            f"kafka.security_protocol {protocol} needs it",
        )  # fmt: skip
    if mechanism == "OAUTHBEARER":
        _refuse_unsent(settings, _PASSWORD, mechanism)
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": _tokens(settings)}
    _refuse_unsent(settings, _OAUTH, mechanism)
    if mechanism == "AWS_MSK_IAM":
        _refuse_unsent(settings, _PASSWORD, mechanism)
        if settings.text("kafka.client") == "confluent":
            raise _error(
                settings, "kafka.client",
                "kafka-python: librdkafka does not sign as kafka.sasl_mechanism AWS_MSK_IAM asks",
            )  # fmt: skip
        if protocol != "SASL_SSL":
            raise _error(settings, "kafka.security_protocol", "SASL_SSL, which AWS_MSK_IAM needs")
        if find_spec("botocore") is None:
            raise MissingExtra("kafka.sasl_mechanism AWS_MSK_IAM", "AWS's credentials", "msk")
        return {"sasl_mechanism": mechanism}
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": _needed(settings, "kafka.sasl_username", "the user's name"),
        "sasl_plain_password": _secret(settings, "kafka.sasl_password", "a password"),
    }


def _tokens(settings: Settings) -> Any:
    """Return what fetches tokens; the module is imported where they are used."""
    from driftline.tokens import OidcTokens

    url = _needed(settings, "kafka.sasl_oauth_token_url", "where tokens are fetched")
    who = _needed(settings, "kafka.sasl_oauth_client_id", "the client's id")
    secret = _secret(settings, "kafka.sasl_oauth_client_secret", "the client's secret")
    cafile = settings.text("kafka.sasl_oauth_cafile")
    if cafile and not Path(cafile).is_file():
        raise _error(settings, "kafka.sasl_oauth_cafile", "a file that is there")
    return OidcTokens(url, who, secret, settings.text("kafka.sasl_oauth_scope") or None, cafile)


def _needed(settings: Settings, key: str, what: str) -> str:
    found = settings.text(key)
    if not found:
        mechanism = settings.text("kafka.sasl_mechanism")
        raise _error(settings, key, f"{what}: kafka.sasl_mechanism {mechanism} needs it")
    return found


def _secret(settings: Settings, key: str, what: str) -> str:
    """Return a secret that its variable says, or the file that the key beside it names."""
    file, secret = settings.text(f"{key}_file"), settings.text(key)
    if file and secret:
        raise _error(settings, f"{key}_file", f"one {what.split()[-1]}: {key} is given too")
    if file:
        secret = secret_from(file, f"{key}_file", settings.source(f"{key}_file"))
    if not secret:
        raise _error(settings, key, f"{what}, in {KEYS[key].variable} or in {key}_file")
    return secret


def _refuse_unsent(settings: Settings, keys: tuple[str, ...], mechanism: str) -> None:
    for key in keys:
        if settings.text(key):
            raise _error(settings, key, f"nothing: kafka.sasl_mechanism {mechanism} sends none")


def _given(settings: Settings) -> bool:
    has_text = any(settings.text(key) for key in (*_SASL, *_FILES))
    return has_text or not settings.flag("kafka.ssl_check_hostname")


def _refuse_unused(settings: Settings, keys: tuple[str, ...], mend: str) -> None:
    for key in keys:
        if settings.text(key):
            raise _error(settings, key, f"kafka.security_protocol {mend}")


def _error(settings: Settings, key: str, expected: str) -> ConfigError:
    got = settings.shown(key)
    return ConfigError(key, settings.source(key), "nothing" if got == "" else got, expected)


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM"
    return error.strerror or type(error).__name__
