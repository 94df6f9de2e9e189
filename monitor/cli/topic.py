"""`driftline topic`: the topic that holds the events."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import options
from monitor.words import counted

app = typer.Typer(help="The topic that holds the events.", no_args_is_help=True)


@app.command()
def create(
    config: options.ConfigFile = None,
    kafka: options.Kafka = None,
    partitions: Annotated[
        int, typer.Option(min=1, help="As many members of `ingest` can share the topic.")
    ] = 4,
    replication: Annotated[
        int, typer.Option(min=-1, help="Brokers that hold each partition; -1 = the cluster's.")
    ] = -1,
) -> None:
    """Create the topic unless it exists; the broker stamps its records (LogAppendTime)."""
    from monitor.brokers import client_options
    from monitor.cli.broker import ensure_topic

    settings = options.settings(config=config, kafka=kafka)
    bootstrap, topic = settings.text("kafka.bootstrap"), settings.text("kafka.topic")
    is_new = ensure_topic(
        bootstrap, topic, partitions, replication=replication, options=client_options(settings)
    )
    said = f"created with {counted(partitions, 'partition')}" if is_new else "is there already"
    options.echo(f"{topic} at {bootstrap} {said}")
