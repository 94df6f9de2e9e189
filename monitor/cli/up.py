"""`driftline up`: everything on one machine, in the foreground."""

from __future__ import annotations

from monitor.cli import options
from monitor.cli.processes import interrupt_on_hangup
from monitor.cli.running import say
from monitor.cli.tree import Tree


def up(
    config: options.ConfigFile = None,
    kafka: options.Kafka = None,
    database: options.Database = None,
    port: options.WebPort = None,
    broker_port: options.BrokerPort = None,
) -> None:
    """Run broker (unless --kafka), consumer, evaluator, dispatcher and web until Ctrl-C."""
    settings = options.settings(
        config=config, kafka=kafka, database=database, port=port, broker_port=broker_port
    )
    with_broker = settings.source("kafka.bootstrap") == "default"
    interrupt_on_hangup()
    tree = Tree(settings, with_broker=with_broker, folder=None)
    try:
        with tree:
            tree.start()
            tree.wait_for_web()
            say(f"dashboard and API at {tree.web_url}, events to {tree.bootstrap}")
            if with_broker:
                say(
                    "the embedded broker keeps nothing: what was not read when it stops is "
                    "forgotten (--kafka HOST:PORT names yours)"
                )
            tree.watch()
    except KeyboardInterrupt:
        say("stopped")
