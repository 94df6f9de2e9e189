"""Settings: one table of keys that feeds the parser, `driftline config show` and the docs.

A value comes from the command line, else from the environment
(`DRIFTLINE_KAFKA__BOOTSTRAP`), else from `driftline.toml`, else from the table. A key
that the table does not have is an error that names the nearest one. A secret comes from the
environment, or from a file that a key beside it names; no message tells it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from driftline.errors import ConfigError

PREFIX: Final = "DRIFTLINE_"
DEFAULT_FILE: Final = Path("driftline.toml")
# Of the environment, but no settings: the secrets, which server verbs speak to, the file, and what
# processes tell each other.
_OTHER_VARIABLES: Final = {
    "DRIFTLINE_TOKEN",
    "DRIFTLINE_READ_TOKEN",
    "DRIFTLINE_URL",
    "DRIFTLINE_CONFIG",
    "DRIFTLINE_PARENT_PIPE",
}

Value = str | int | float | bool

# Of a URL: after its user, up to the last @ before the path; or among its parameters.
_PASSWORD: Final = re.compile(r"(://[^/?:@]*:)[^/?]*(?=@)|(?<=[?&]password=)[^&]*")


@dataclass(frozen=True)
class Key:
    """One setting."""

    name: str
    kind: type[str] | type[int] | type[float] | type[bool]
    default: Value
    unit: str
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    is_secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that says it."""
        return PREFIX + self.name.upper().replace(".", "__")


# What stands for a secret wherever settings are shown.
MASK: Final = "***"
KEYS: Final = {
    key.name: key
    for key in (
        Key(
            "kafka.bootstrap",
            str,
            "127.0.0.1:9092",
            "",
            "Kafka brokers, host:port, ...; not set: the embedded one, at broker.port",
        ),
        Key("kafka.topic", str, "driftline.events", "", "topic that holds the events"),
        Key("kafka.group", str, "driftline", "", "consumer group"),
        Key(
            "kafka.client",
            str,
            "kafka-python",
            "",
            "what reads the events; confluent (librdkafka) is faster and needs the extra confluent",
            choices=("kafka-python", "confluent"),
        ),
        Key(
            "kafka.start",
            str,
            "earliest",
            "",
            "where a new stream is read from",
            choices=("earliest", "latest"),
        ),
        Key(
            "kafka.security_protocol",
            str,
            "PLAINTEXT",
            "",
            "how the brokers are spoken to",
            choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        ),
        Key(
            "kafka.sasl_mechanism",
            str,
            "",
            "",
            "how a SASL protocol proves who we are",
            choices=(
                "",
                "PLAIN",
                "SCRAM-SHA-256",
                "SCRAM-SHA-512",
                "OAUTHBEARER",
                "AWS_MSK_IAM",
            ),
        ),
        Key("kafka.sasl_username", str, "", "", "who we are to the brokers"),
        Key(
            "kafka.sasl_password",
            str,
            "",
            "",
            "the password; from the environment only",
            is_secret=True,
        ),
        Key("kafka.sasl_password_file", str, "", "", "or a file that holds nothing but it"),
        Key(
            "kafka.sasl_oauth_token_url",
            str,
            "",
            "",
            "OAUTHBEARER: where tokens are fetched, by OIDC client credentials",
        ),
        Key("kafka.sasl_oauth_client_id", str, "", "", "who asks for them"),
        Key(
            "kafka.sasl_oauth_client_secret",
            str,
            "",
            "",
            "its secret; from the environment only",
            is_secret=True,
        ),
        Key(
            "kafka.sasl_oauth_client_secret_file",
            str,
            "",
            "",
            "or a file that holds nothing but it",
        ),
        Key("kafka.sasl_oauth_scope", str, "", "", "what they are to allow, if that is asked"),
        Key(
            "kafka.sasl_oauth_cafile",
            str,
            "",
            "",
            "PEM file of the authority that signed the token server's certificate; the system's if "
            "none",
        ),
        Key(
            "kafka.ssl_cafile",
            str,
            "",
            "",
            "PEM file of the authority that signed the brokers' certificates; the system's if none",
        ),
        Key("kafka.ssl_certfile", str, "", "", "PEM file of our own certificate, if it is asked"),
        Key("kafka.ssl_keyfile", str, "", "", "PEM file of its key; may be in the same file"),
        Key(
            "kafka.ssl_check_hostname",
            bool,
            True,
            "",
            "whether a broker's certificate must bear the name by which it is reached",
        ),
        Key(
            "broker.port",
            int,
            9092,
            "",
            "port of the embedded broker; 0 takes a free one",
            low=0,
            high=65_535,
        ),
        Key("database.url", str, "sqlite:///driftline.db", "", "SQLAlchemy URL of the database"),
        Key(
            "web.host",
            str,
            "127.0.0.1",
            "",
            "address of the dashboard and the API; all but loopback need a token",
        ),
        Key(
            "web.port",
            int,
            8050,
            "",
            "port of the dashboard and the API; 0 takes a free one",
            low=0,
            high=65_535,
        ),
        Key(
            "web.hosts",
            str,
            "",
            "",
            "names by which browsers and programs reach it, with commas between",
        ),
        Key(
            "web.token_file",
            str,
            "",
            "",
            "file that holds the token which everybody must give; or DRIFTLINE_TOKEN",
        ),
        Key(
            "web.read_token_file",
            str,
            "",
            "",
            "file with a second token, which may read and change nothing; or DRIFTLINE_READ_TOKEN",
        ),
        Key(
            "web.behind_proxy",
            bool,
            False,
            "",
            "it is reached through a proxy alone, whose X-Forwarded-For and -Proto are believed",
        ),
        Key(
            "web.url",
            str,
            "",
            "",
            "where people open the pages, for links in messages; default: host and port",
        ),
        Key(
            "ingest.checkpoint_interval_s",
            float,
            30.0,
            "s",
            "longest time that counts stay in memory",
            low=0.05,
            high=600,
        ),
        Key(
            "ingest.max_record_bytes",
            int,
            1_000_000,
            "bytes",
            "a longer record is a dead letter",
            low=1_000,
            high=100_000_000,
        ),
        Key(
            "ingest.keep_payload",
            bool,
            True,
            "",
            "keep the beginning of rejected records; false keeps hash and reason only",
        ),
        Key(
            "ingest.breaker",
            bool,
            True,
            "",
            "stop, and count nothing more, when most of what comes cannot be read as events",
        ),
        Key(
            "ingest.breaker_ratio",
            float,
            0.5,
            "",
            "more than this share of the last events stops it",
            low=0.05,
            high=0.999,
        ),
        Key(
            "ingest.breaker_events",
            int,
            1_000,
            "events",
            "how many of the last events are looked at; fewer never stop it",
            low=1_000,
            high=1_000_000,
        ),
        Key(
            "evaluate.interval_s",
            float,
            5.0,
            "s",
            "time between two looks at the watermarks",
            low=0.05,
            high=3_600,
        ),
        Key(
            "evaluate.idle_timeout_s",
            float,
            60.0,
            "s",
            "a partition read to its end for so long no longer holds the watermark",
            low=0.1,
            high=86_400,
        ),
        Key(
            "alerts.allow",
            str,
            "",
            "",
            "networks that webhooks may go to though they are private, such as 10.1.0.0/16, ...",
        ),
        Key(
            "alerts.keep_days",
            int,
            90,
            "days",
            "how long a message is kept after it was delivered or cancelled, with its attempts",
            low=1,
            high=36_500,
        ),
        Key(
            "alerts.keep_dead_days",
            int,
            365,
            "days",
            "how long a message is kept after it was given up",
            low=1,
            high=36_500,
        ),
        Key(
            "retention.hours_days",
            int,
            400,
            "days",
            "hours are counted by themselves for so long, then added up by day; 0 = for ever",
            low=0,
            high=36_500,
        ),
        Key(
            "retention.hour_findings_days",
            int,
            400,
            "days",
            "how long findings of hours are kept (of each day the worst stays); 0 = for ever",
            low=0,
            high=36_500,
        ),
        Key(
            "retention.findings_days",
            int,
            0,
            "days",
            "how long findings of days and longer windows are kept; 0 = for ever",
            low=0,
            high=36_500,
        ),
        Key(
            "retention.days_days",
            int,
            0,
            "days",
            "how long the counts of days are kept; 0 = for ever",
            low=0,
            high=36_500,
        ),
        Key(
            "retention.letters_days",
            int,
            90,
            "days",
            "how long dead letters are kept (they stay counted); 0 = for ever",
            low=0,
            high=36_500,
        ),
    )
}


class Settings:
    """All settings with their sources.

    Parameters
    ----------
    values
        By key; keys that are left out have the table's default.
    sources
        By key: where the value came from, for messages.
    """

    def __init__(self, values: Mapping[str, Value], sources: Mapping[str, str]) -> None:
        self._values, self._sources = dict(values), dict(sources)

    def __getitem__(self, name: str) -> Value:
        if name == "kafka.bootstrap" and name not in self._values:
            # The embedded broker is where its port says, also to verbs beside `driftline up`.
            return f"127.0.0.1:{self['broker.port'] or KEYS['broker.port'].default}"
        return self._values.get(name, KEYS[name].default)

    def source(self, name: str) -> str:
        """Where the value came from: "--option", a variable, a file, or "default"."""
        return self._sources.get(name, "default")

    def as_environment(self) -> dict[str, str]:
        """What is not the default, as the variables that say the same to another process."""
        return {KEYS[name].variable: str(value) for name, value in self._values.items()}

    def shown(self, name: str) -> Value:
        """The value as it may be shown: of a secret or a URL's password, that it is there."""
        value = self[name]
        if KEYS[name].is_secret and value:
            return MASK
        return _PASSWORD.sub(rf"\1{MASK}", value) if isinstance(value, str) else value

    def text(self, name: str) -> str:
        """A setting that is text."""
        return str(self[name])

    def integer(self, name: str) -> int:
        """A setting that is an integer."""
        return int(self[name])

    def number(self, name: str) -> float:
        """A setting that is a number."""
        return float(self[name])

    def flag(self, name: str) -> bool:
        """A setting that is true or false."""
        return bool(self[name])


def load(
    environment: Mapping[str, str],
    *,
    file: Path | None = None,
    options: Mapping[str, object] | None = None,
) -> Settings:
    """The settings from command line, environment and file, in that order of precedence.

    Parameters
    ----------
    environment
        `os.environ`, or a test's.
    file
        A TOML file that must exist; None reads `DRIFTLINE_CONFIG` or, if it is there,
        `driftline.toml` in the working directory.
    options
        By key, from the command line; None stands for "not given".

    Raises
    ------
    ConfigError
        An unknown key, a value of the wrong type or out of range, an unreadable file.

    Examples
    --------
    >>> load({"DRIFTLINE_WEB__PORT": "9000"}).integer("web.port")
    9000
    >>> load({"DRIFTLINE_WEB__PROT": "9000"})
    Traceback (most recent call last):
    driftline.errors.ConfigError: web.prot (DRIFTLINE_WEB__PROT): got '***', expected a known \
key; the nearest is web.port
    """
    values: dict[str, Value] = {}
    sources: dict[str, str] = {}
    path = file or (Path(given) if (given := environment.get("DRIFTLINE_CONFIG")) else None)
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    if path is not None:
        for name, value in _flat(_read(path)).items():
            _no_secret(name, str(path))
            values[name], sources[name] = _checked(name, value, str(path)), str(path)
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in _OTHER_VARIABLES:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            values[name] = _checked(name, environment[variable], variable, is_text=True)
            sources[name] = variable
    for name, given_option in (options or {}).items():
        if given_option is not None:
            _no_secret(name, "command line")
            values[name] = _checked(name, given_option, "command line")
            sources[name] = "command line"
    return Settings(values, sources)


def secret_from(file: str, key: str, source: str) -> str:
    """The secret that a file holds, without the line end that editors put after it.

    Raises
    ------
    ConfigError
        It cannot be read, or holds nothing.
    """
    try:
        found = Path(file).read_text(encoding="utf-8").strip("\r\n")
    except OSError as error:
        raise ConfigError(key, source, file, f"a readable file ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(key, source, file, "a text file in UTF-8") from None
    if not found:
        raise ConfigError(key, source, file, "a file that holds the secret: it is empty")
    return found


def _no_secret(name: str, source: str) -> None:
    """Files are shared and command lines are seen by every process: neither holds a secret."""
    key = KEYS.get(name)
    if key is not None and key.is_secret:
        raise ConfigError(
            name, source, MASK, f"it in the environment ({key.variable}) or in {name}_file"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError("file", str(path), error.strerror, "a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("file", str(path), str(error), "valid TOML") from error


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tables.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _checked(name: str, value: object, source: str, *, is_text: bool = False) -> Value:
    key = KEYS.get(name)
    if key is None:
        nearest = get_close_matches(name, KEYS, n=1, cutoff=0)[0]
        # It may be a secret whose name is misspelt, or another program's.
        raise ConfigError(name, source, MASK, f"a known key; the nearest is {nearest}")
    found = _parsed(key, str(value)) if is_text else value
    shown = MASK if key.is_secret else value
    if key.kind is float and isinstance(found, int) and not isinstance(found, bool):
        found = float(found)
    if not isinstance(found, key.kind) or (key.kind is not bool and isinstance(found, bool)):
        raise ConfigError(name, source, shown, _expected(key))
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        too_low = key.low is not None and found < key.low
        # `not <=` also refuses NaN.
        if too_low or (key.high is not None and not found <= key.high):
            raise ConfigError(name, source, shown, _expected(key))
    if key.choices and found not in key.choices:
        raise ConfigError(name, source, shown, _expected(key))
    return found


def _parsed(key: Key, text: str) -> object:
    if key.kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
    try:
        return key.kind(text)
    except ValueError:
        return None


def _expected(key: Key) -> str:
    if key.choices:
        return "one of " + ", ".join(choice for choice in key.choices if choice)
    names: dict[type, str] = {
        str: "text",
        int: "an integer",
        float: "a number",
        bool: "true or false",
    }
    wanted = names[key.kind]
    if key.low is not None and key.high is not None:
        wanted += f" from {key.low:g} to {key.high:g}"
    return wanted
