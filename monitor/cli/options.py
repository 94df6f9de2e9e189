"""The options that several verbs share, and how they become settings."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

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


def log_to_stderr() -> None:
    """One line of key=value per event: what a role that runs for days says of itself.

    The standard library's loggers and structlog's come out alike.
    """
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
