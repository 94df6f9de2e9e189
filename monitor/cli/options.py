"""The options that several verbs share, and how they become settings."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from driftline.errors import InvalidReference, StatisticError, StorageUnavailable
from driftline.program import command
from monitor.config import Settings, load

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file; driftline.toml by default.")
]
Database = Annotated[
    str | None, typer.Option("--database", help="URL of the database (database.url).")
]
Kafka = Annotated[
    str | None, typer.Option("--kafka", help="Brokers, HOST:PORT,... (kafka.bootstrap).")
]
WebPort = Annotated[
    int | None, typer.Option("--port", help="Port of dashboard and API (web.port).")
]
BrokerPort = Annotated[
    int | None,
    typer.Option("--broker-port", help="Port of the embedded broker (broker.port)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


# An argument as the library's sentences write it: `timestamp=`, or with its value in quotes.
_ARGUMENT: Final = re.compile(
    r"(?<![\w'-])(prediction|scores?|label|timestamp|timezone|features|segments|exclude"
    r"|exclude_slices|categorical|lengths?|sizes|limits|months)=(?=(')|[\s,;.)]|$)"
)
_LIST: Final = re.compile(
    r"(?<![\w'-])(features|exclude|categorical|segments|exclude_slices)=\[('[^']*'(?:, '[^']*')*)\]"
)
# What a sentence is about stands before its colon; no English word is spelt exclude_slices.
_ABOUT: Final = re.compile(
    r"(?:^(?=\w+: )|(?=exclude_slices\b(?!=)))"
    r"(prediction|scores?|label|timestamp|timezone|features|segments|exclude|exclude_slices"
    r"|categorical|importance)\b"
)
_OPTION_OF: Final = {
    "exclude_slices": "exclude-slice",
    "features": "feature",
    "lengths": "length",
    "limits": "limit",
    "scores": "class-score",
    "segments": "segment",
    "sizes": "size",
}


def settings(
    *,
    config: Path | None = None,
    database: str | None = None,
    kafka: str | None = None,
    port: int | None = None,
    broker_port: int | None = None,
) -> Settings:
    """The settings with these options on top."""
    options: dict[str, object] = {
        "database.url": database,
        "kafka.bootstrap": kafka,
        "web.port": port,
        "broker.port": broker_port,
    }
    return load(os.environ, file=config, options=options)


def as_options(words: str) -> str:
    """A sentence of the library about its arguments, about the options that stand for them.

    Examples
    --------
    >>> as_options("the reference has no times (timestamp= gives them)")
    'the reference has no times (--timestamp gives them)'
    >>> as_options("pass prediction='Class' or label='Class', or name the features= to watch")
    "pass --prediction 'Class' or --label 'Class', or name the --feature to watch"
    >>> as_options("exclude=['a', 'b'] leaves them out")
    "--exclude 'a' --exclude 'b' leaves them out"
    >>> as_options("exclude_slices: '2013-02-30' is neither a local date nor an interval")
    "--exclude-slice: '2013-02-30' is neither a local date nor an interval"
    >>> as_options("timestamp: there is no column 'tim', did you mean 'time'?")
    "--timestamp: there is no column 'tim', did you mean 'time'?"
    """

    def listed(found: re.Match[str]) -> str:
        option = _OPTION_OF.get(found[1], found[1])
        return " ".join(f"--{option} {value}" for value in re.findall(r"'[^']*'", found[2]))

    def named(found: re.Match[str]) -> str:
        return f"--{_OPTION_OF.get(found[1], found[1])}"

    words = _ABOUT.sub(named, _LIST.sub(listed, words))
    return _ARGUMENT.sub(
        lambda found: f"--{_OPTION_OF.get(found[1], found[1])}{' ' if found[2] else ''}", words
    )


@contextlib.contextmanager
def named_as_options() -> Iterator[None]:
    """What the library says is wrong with its arguments, said of the options."""
    try:
        yield
    except (InvalidReference, StatisticError) as error:
        raise type(error)(as_options(str(error))) from error


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite database; None for every other one.

    Examples
    --------
    >>> sqlite_file("sqlite:///driftline.db"), sqlite_file("postgresql+psycopg://me@host/name")
    (PosixPath('driftline.db'), None)
    """
    import sqlalchemy as sa

    try:
        url = sa.make_url(database_url)
    except sa.exc.ArgumentError:
        return None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return None if url.database.startswith("file:") else Path(url.database)


def existing_database(settings: Settings) -> str:
    """The database's URL, for verbs that make none: opening an absent file would make it.

    Raises
    ------
    StorageUnavailable
        It is an SQLite file that is not there.
    """
    url = settings.text("database.url")
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise StorageUnavailable(
            f"there is no database {file}: run `{command('db upgrade')}` to make it, or name "
            "another one with --database"
        )
    return url


def log_to_stderr() -> None:
    """One line of key=value per event: what a role that runs for days says of itself.

    The standard library's loggers and structlog's come out alike.
    """
    import structlog

    shared: list[structlog.typing.Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.LogfmtRenderer(
                    key_order=["timestamp", "level", "logger", "event"], bool_as_flag=False
                ),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("consumers", "monitor"):
        logging.getLogger(name).setLevel(logging.INFO)
    # It warns of every large batch; what it cannot do it also raises.
    logging.getLogger("kafka").setLevel(logging.ERROR)


def echo(text: str) -> None:
    """Print to standard output, where results go; talk goes to standard error."""
    typer.echo(text)
