"""What a page is filled from: the database, the address, and the browser that looks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy.engine import Connection, Engine

from dashboard.address import Asked
from dashboard.tokens import Scheme
from dashboard.words import zone_name

T = TypeVar("T")

UTC = ZoneInfo("UTC")
KEPT = 128
# A wall clock that a browser may send: 2000 to 2100.
FIRST_MS, LAST_MS = 946_684_800_000, 4_102_444_800_000


class Cache:
    """Answers of one data version, so that ten open tabs cost one read; the oldest go first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._values: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of `key`, made when it is not there; who asks meanwhile waits for it.

        What could not be made is forgotten, and raises for those who waited too.
        """
        with self._lock:
            waiting = self._values.get(key)
            if waiting is None:
                own: Future[Any] = Future()
                self._values[key] = own
                while len(self._values) > self._kept:
                    self._values.popitem(last=False)
            else:
                self._values.move_to_end(key)
        if waiting is not None:
            found: T = waiting.result()
            return found
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is own:
                    del self._values[key]
            own.set_exception(error)
            raise
        own.set_result(made)
        return made


@dataclass(frozen=True)
class Screen:
    """What the browser says of itself; everything is checked, nothing is believed."""

    scheme: Scheme = "light"
    is_narrow: bool = False
    is_local: bool = False  # local times are asked for, not UTC
    browser_zone: ZoneInfo = UTC
    last_visit_ms: int | None = None

    @classmethod
    def of(cls, said: object) -> Screen:
        """Read what a browser sent."""
        if not isinstance(said, dict):
            return cls()
        visit = said.get("visit")
        is_time = isinstance(visit, int | float) and FIRST_MS <= visit < LAST_MS
        return cls(
            scheme="dark" if said.get("scheme") == "dark" else "light",
            is_narrow=said.get("narrow") is True,
            is_local=said.get("zone") == "local",
            browser_zone=_zone(said.get("tz")),
            last_visit_ms=int(visit) if is_time and visit is not None else None,
        )

    def zone(self, model_zone: ZoneInfo | None) -> ZoneInfo:
        """Return the zone in which instants are told on a page of a model, or of many."""
        return (model_zone or self.browser_zone) if self.is_local else UTC


def _zone(name: object) -> ZoneInfo:
    if not isinstance(name, str) or len(name) > 64:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


@dataclass(frozen=True)
class Look:
    """One look at a page.

    Attributes
    ----------
    conn
        The database, in one read transaction: what is shown together was true together.
    engine
        What `conn` came from: its dialect is shown, nothing is opened through it.
    path
        The decoded parts of the address.
    asked
        The query; collects what it asks for and is not there.
    screen
        The browser.
    model_zone
        The zone of the model that the address names; None on pages of many models.
    now_ms
        The wall clock.
    checkpoint_interval_s
        How often consumers check in.
    """

    conn: Connection
    engine: Engine
    path: tuple[str, ...]
    asked: Asked
    screen: Screen
    now_ms: int
    checkpoint_interval_s: float
    model_zone: ZoneInfo | None = None
    version: Hashable = None
    cache: Cache = field(default_factory=Cache)

    @property
    def scheme(self) -> Scheme:
        """Light or dark: figures cannot read the stylesheet."""
        return self.screen.scheme

    @property
    def is_narrow(self) -> bool:
        """Whether this is a phone: cards instead of grids."""
        return self.screen.is_narrow

    @property
    def last_visit_ms(self) -> int | None:
        """When this browser looked before, by its own clock."""
        return self.screen.last_visit_ms

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which instants are told; windows are named in their model's zone always."""
        return self.screen.zone(self.model_zone)

    @property
    def zone_word(self) -> str:
        """The zone in a word, to stand beside times."""
        return zone_name(self.zone)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` reads, at most once for each data version."""
        return self.cache.get((self.version, key), make)
