"""One role each in the foreground: `ingest`, `evaluate`, `deliver`, `web`.

`up` runs them as children.
"""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from monitor.brokers import client_options
from monitor.cli import measuring, options
from monitor.cli.access import access
from monitor.cli.processes import require_free_port, stop_with_parent, url_of
from monitor.cli.running import actor, running, shown
from monitor.config import Settings


def ingest(
    config: options.ConfigFile = None,
    database: options.Database = None,
    kafka: options.Kafka = None,
    metrics_port: measuring.Port = None,
    metrics_host: measuring.Host = measuring.LOCAL,
    accept_undecodable: Annotated[
        bool,
        typer.Option(
            "--accept-undecodable",
            help="Where it stopped since most cannot be read: let these go by as dead letters.",
        ),
    ] = False,
    stream_epoch: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Read events from Kafka and count them."""
    stop = _stopping()
    from typing import Literal, cast

    from consumers.metrics import Ingesting
    from consumers.process import run
    from consumers.settings import IngestSettings
    from monitor.clock import SystemClock

    settings = options.settings(config=config, database=database, kafka=kafka)
    url = options.existing_database(settings)
    asked = IngestSettings(
        database_url=url,
        bootstrap=settings.text("kafka.bootstrap"),
        topic=settings.text("kafka.topic"),
        group_id=settings.text("kafka.group"),
        checkpoint_interval_s=settings.number("ingest.checkpoint_interval_s"),
        stream_epoch=stream_epoch,
        start_policy=cast(Literal["earliest", "latest"], settings.text("kafka.start")),
        max_record_bytes=settings.integer("ingest.max_record_bytes"),
        keep_payload=settings.flag("ingest.keep_payload"),
        client=cast(Literal["kafka-python", "confluent"], settings.text("kafka.client")),
        client_options=client_options(settings),
        breaker=settings.flag("ingest.breaker"),
        breaker_ratio=settings.number("ingest.breaker_ratio"),
        breaker_events=settings.integer("ingest.breaker_events"),
        accepts_undecodable=actor() if accept_undecodable else None,
    )
    what = f"reads {asked.topic} at {asked.bootstrap} into {shown(url)}"
    meter = Ingesting(SystemClock())
    with (
        measuring.served(meter, settings, metrics_host, metrics_port),
        running("ingest", url, what, meter),
    ):
        run(asked, stop, meter=meter)


def evaluate(
    config: options.ConfigFile = None,
    database: options.Database = None,
    metrics_port: measuring.Port = None,
    metrics_host: measuring.Host = measuring.LOCAL,
) -> None:
    """Judge the windows that are over, open and close incidents."""
    stop = _stopping()
    from monitor.cli.links import public_url
    from monitor.cli.retention import policy_of
    from monitor.clock import SystemClock
    from monitor.evaluate import EvaluateSettings, run
    from monitor.metrics.working import Working
    from monitor.retention import Keeper

    settings = options.settings(config=config, database=database)
    url = options.existing_database(settings)
    policy = policy_of(settings)
    asked = EvaluateSettings(
        database_url=url,
        interval_s=settings.number("evaluate.interval_s"),
        idle_timeout_s=settings.number("evaluate.idle_timeout_s"),
        stalled_after_s=_stalled_after_s(settings),
        web_url=public_url(settings),
    )
    what = f"judges the windows that are over in {shown(url)}"
    working = Working("evaluate", SystemClock())
    with (
        measuring.served(working, settings, metrics_host, metrics_port),
        running("evaluate", url, what, working) as went_on,
    ):
        run(
            asked,
            stop,
            went_on=went_on,
            meanwhile=lambda engine: Keeper(engine, policy, SystemClock()).step,
        )


def deliver(
    config: options.ConfigFile = None,
    database: options.Database = None,
    metrics_port: measuring.Port = None,
    metrics_host: measuring.Host = measuring.LOCAL,
) -> None:
    """Send alerts to their endpoints, again until they arrive."""
    stop = _stopping()
    from monitor.alerts import DeliverSettings, Keep, guard, run
    from monitor.cli.links import public_url
    from monitor.clock import SystemClock
    from monitor.metrics.working import Working

    settings = options.settings(config=config, database=database)
    keep = Keep(settings.integer("alerts.keep_days"), settings.integer("alerts.keep_dead_days"))
    allow = guard.networks(settings.text("alerts.allow"), settings.source("alerts.allow"))
    url = options.existing_database(settings)
    what = f"sends the alerts of {shown(url)} to their endpoints"
    working = Working("deliver", SystemClock())
    with (
        measuring.served(working, settings, metrics_host, metrics_port),
        running("deliver", url, what, working) as went_on,
    ):
        asked = DeliverSettings(url, allow, keep, public_url(settings), _stalled_after_s(settings))
        run(asked, stop, went_on=went_on)


def web(
    config: options.ConfigFile = None,
    database: options.Database = None,
    port: options.WebPort = None,
) -> None:
    """Serve the dashboard and the API."""
    stop = _stopping()
    import uvicorn

    from driftline.delivering import Delivery
    from monitor.alerts import guard
    from monitor.api.app import create_app
    from monitor.cli.links import public_url
    from monitor.storage import engine as storage

    settings = options.settings(config=config, database=database, port=port)
    reached, number = access(settings), settings.integer("web.port")
    require_free_port(number, key="web.port", option="--port", host=reached.host)
    url = options.existing_database(settings)
    engine = storage.create(url)
    storage.check_schema(engine)
    delivery = Delivery(
        settings.text("kafka.bootstrap"),
        settings.text("kafka.topic"),
        kafka=client_options(settings),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(
                engine,
                allowed_hosts=reached.hosts,
                token=reached.token,
                read_token=reached.read_token,
                is_behind_proxy=settings.flag("web.behind_proxy"),
                public_url=public_url(settings) if settings.text("web.url") else "",
                checkpoint_interval_s=settings.number("ingest.checkpoint_interval_s"),
                idle_timeout_s=settings.number("evaluate.idle_timeout_s"),
                alerts_allow=guard.networks(
                    settings.text("alerts.allow"), settings.source("alerts.allow")
                ),
                delivery=delivery,
            ),
            host=reached.host,
            port=number,
            # What a proxy says is read by the app, where a setting allows it.
            proxy_headers=False,
            log_level="warning",
            access_log=False,
            # An open page must not hold up Ctrl-C.
            timeout_graceful_shutdown=1,
        )
    )

    def end_with_parent() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=end_with_parent, name="stop", daemon=True).start()
    address = url_of(reached.host, number)
    with running("web", url, f"serves dashboard and API at {address} from {shown(url)}"):
        server.run()
    delivery.close()
    engine.dispose()


def _stalled_after_s(settings: Settings) -> float:
    """Three checkpoints without a word: that owner is stuck or gone."""
    return max(90.0, 3 * settings.number("ingest.checkpoint_interval_s"))


def _stopping() -> threading.Event:
    """What Ctrl-C sets, before the imports that take a second; the log goes to standard error."""
    stop = threading.Event()
    stop_with_parent(stop)
    options.log_to_stderr()
    return stop
