"""`driftline doctor`: what of an installation works, what does not, and what mends it.

Every check is made that can be made, whatever failed before; each is bounded in time. Nothing is
changed anywhere: no topic is made, no group joined, no row written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from sqlalchemy.engine import Engine

from consumers.admit import Rules
from driftline.errors import ConfigError
from driftline.program import command
from monitor.brokers import client_options, tls_context
from monitor.clock import Clock
from monitor.config import Settings
from monitor.doctor import broker, records, store
from monitor.doctor.check import ASK_S, WORK_S, Check, State, fail, hangs, ok, skipped, within
from monitor.storage import registry

__all__ = ["Asked", "Check", "State", "examine", "hangs"]

# A client that is bounded by itself has this much more before it is given up.
GRACE_S: Final = 3.0


@dataclass(frozen=True)
class Asked:
    """What the doctor is told beside the settings.

    Attributes
    ----------
    database_file
        The file of an SQLite database; None for a server.
    web_url
        Where people open the pages.
    local_url
        Where the web process of these settings listens, seen from this machine.
    """

    database_file: Path | None
    web_url: str
    local_url: str


class _Kept:
    """What one check found and later ones need."""

    def __init__(self) -> None:
        self.admin: Any = None
        self.topic: broker.Topic | None = None
        self.records: list[Any] | None = None
        self.engine: Engine | None = None

    def keep_admin(self, admin: Any) -> None:
        self.admin = admin

    def keep_topic(self, topic: broker.Topic) -> None:
        self.topic = topic

    def keep_engine(self, engine: Engine) -> None:
        self.engine = engine

    def close(self) -> None:
        if self.admin is not None:
            with suppress(Exception):
                self.admin.close()
        if self.engine is not None:
            self.engine.dispose()


def examine(settings: Settings, asked: Asked, clock: Clock) -> Iterator[Check]:
    """Yield the lines of the report in order, each as soon as it is known."""
    kept = _Kept()
    # The client says a failed connection several times a second; here it is one line.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        yield ok("settings", "they can be read")
        yield from _broker(settings, kept, clock)
        yield from within(
            "database",
            lambda: store.database(
                settings.text("database.url"), asked.database_file, clock.now_ms, kept.keep_engine
            ),
            ASK_S + GRACE_S,
        )
        yield from _records(settings, kept)
        if kept.engine is None:
            for name in ("ingest", "evaluate", "deliver"):
                yield skipped(name, "the database cannot be read")
        else:
            engine = kept.engine
            interval_s = settings.number("ingest.checkpoint_interval_s")
            yield from within(
                "processes", lambda: store.processes(engine, clock.now_ms(), interval_s), ASK_S
            )
        yield from within("web", lambda: _web(asked), ASK_S + GRACE_S)
    finally:
        kept.close()


def _broker(settings: Settings, kept: _Kept, clock: Clock) -> Iterator[Check]:
    try:
        options = client_options(settings)
        is_tls = settings.text("kafka.security_protocol").endswith("SSL")
        tls = tls_context(settings) if is_tls else None
    except ConfigError as error:
        yield fail("broker settings", f"{error.key}: got {error.got}", error.expected)
        yield from _unasked("the broker's settings cannot be used")
        return
    place = broker.Place(
        settings.text("kafka.bootstrap"), settings.text("kafka.topic"),
        settings.text("kafka.group"), options, tls,
    )  # fmt: skip
    met = within("broker", lambda: broker.port(place), ASK_S)
    yield from met
    if any(check.state in (State.FAIL, State.SKIPPED) for check in met):
        yield from _unasked("no broker is spoken to")
        return
    taken = _bounded("broker credentials", lambda: broker.login(place, kept.keep_admin))
    yield from taken
    admin = kept.admin
    if admin is None:
        yield from _unasked("the broker does not take us", of=2)
        return
    yield from _bounded("topic", lambda: broker.topic(admin, place, kept.keep_topic))
    yield from _bounded("rights", lambda: broker.rights(admin, place))
    seen = kept.topic
    if seen is None:
        for name in ("lag of the group", "clock and records"):
            yield skipped(name, "there is no topic to ask about")
        return
    yield from _bounded("lag of the group", lambda: broker.lag(admin, place, seen))

    def read() -> Iterator[Check]:
        told, kept.records = broker.last_records(place, seen)
        yield from told
        if kept.records:
            yield broker.clock(kept.records, clock.now_ms())
        else:
            yield skipped("clock and records", "no record was read")

    yield from _bounded("records", read)


def _unasked(why: str, of: int = 1) -> Iterator[Check]:
    names = ("broker credentials", "topic", "rights", "lag of the group", "clock and records")
    for name in names[of - 1 :]:
        yield skipped(name, why)


def _bounded(name: str, checks: Callable[[], Iterator[Check]]) -> list[Check]:
    return within(name, checks, ASK_S + GRACE_S)


def _records(settings: Settings, kept: _Kept) -> Iterator[Check]:
    if not kept.records:
        why = "the topic is empty" if kept.records == [] else "no record was read"
        yield skipped("records parse", why)
        yield skipped("records match a reference", why)
        return
    found = kept.records
    rules = Rules(settings.integer("ingest.max_record_bytes"), keep_payload=False)

    def judged() -> Iterator[Check]:
        told, admitted = records.parsing(found, rules)
        yield from told
        if kept.engine is None:
            yield skipped("records match a reference", "the database cannot be read")
        else:
            yield from records.matching(admitted, registry.load(kept.engine))

    mend = "this machine is busy, or the database is: ask again"
    yield from within("records", judged, WORK_S, mend=mend)


def _web(asked: Asked) -> Iterator[Check]:
    """Yield whether the web process answers, under its own address and under its public one."""
    places = {"web": asked.web_url}
    if asked.local_url != asked.web_url:
        places = {"web on this machine": asked.local_url, **places}
    for name, url in places.items():
        try:
            answer = httpx2.get(f"{url}/readyz", timeout=ASK_S / 2)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            yield fail(
                name, f"{url}: {str(error) or type(error).__name__}",
                f"start `{command('web')}`; web.host, web.port and web.url say where it is",
            )  # fmt: skip
            continue
        if answer.status_code == 200:
            yield ok(name, f"{url} is ready")
        elif answer.status_code == 421:
            yield fail(name, f"{url}: it is not served under this name", "add it to web.hosts")
        else:
            yield fail(
                name, f"{url}/readyz answers {answer.status_code}",
                "what answers there may be no Driftline, or its database is not ready",
            )  # fmt: skip
