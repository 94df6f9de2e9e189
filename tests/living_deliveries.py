"""What the living database was told about, and to whom: endpoints that answer as a story says.

The evaluator decides the messages, the dispatcher sends them; only the network is a stand-in, and
the clock goes on while it answers. One worker, so that the same seed gives the same rows.

=============  ==========================================================================
on-call        takes everything at once
pager          answers its first message at the fourth attempt only
warehouse      answers 500 for good: its messages are pending, and fail
old-hook       answers 410: it is switched off, what waited for it is given up
left           fails, and is removed: what waited for it is cancelled
=============  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.alerts.dispatch import Dispatcher, Limits
from monitor.alerts.schedule import Answer
from monitor.storage import endpoints
from monitor.storage.engine import transaction

# The day from which on there are endpoints: what opened before was told to nobody.
FIRST_TOLD_DAY = 10  # 11 May
NAMES = ("on-call", "pager", "warehouse", "old-hook", "left")
SECRET = "whsec_" + "QUJD" * 8
# After a day was judged the first attempts follow each other: at once, after 5 s, 5 and 30 min.
WAITS_S = (0.0, 6.0, 310.0, 1_900.0)


class Receivers:
    """Answers by name; each takes its time by the world's clock."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._asked: dict[str, int] = {}

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        name = url.removeprefix("https://").partition(".")[0]
        n = self._asked[name] = self._asked.get(name, 0) + 1
        answer, seconds = self._answer(name, n)
        self._world.clock.advance(seconds)
        return answer

    def _answer(self, name: str, n: int) -> tuple[Answer, float]:
        if name == "pager" and n <= 3:
            answers = (
                (Answer(status=503, body="busy"), 0.83),
                (Answer(status=503, body="busy"), 0.71),
                (Answer(error="no answer within 15 s"), 15.0),
            )
            return answers[n - 1]
        if name == "old-hook":
            return Answer(status=410, body="gone"), 0.05
        if name == "warehouse":
            return Answer(status=500, body="no room left"), 0.12
        if name == "left":
            return Answer(error="no connection: connection refused"), 0.01
        return Answer(status=204), 0.18


def add(world: Any) -> Dispatcher:
    """Add the endpoints, and return what sends to them."""
    with transaction(world.engine) as conn:
        for name in NAMES:
            url = f"https://{name}.example/in"
            endpoints.add(conn, name, url, SECRET, now_ms=world.clock.now_ms())
    limits = Limits(workers=1, workers_per_endpoint=1)
    receivers = Receivers(world)
    return Dispatcher(world.engine, receivers, clock=world.clock, limits=limits, draw=lambda: 0.0)


def deliver(world: Any, sender: Dispatcher, *, goes_on: bool) -> None:
    """Send what was decided, and what is due in the half hour after it where time goes on."""
    for wait_s in WAITS_S if goes_on else WAITS_S[:1]:
        world.clock.advance(wait_s)
        while sender.step():
            assert sender.finish(10)


def leave(world: Any) -> None:
    """Remove the endpoint that is not needed any more."""
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, "left")
        assert found is not None
        endpoints.remove(conn, found.id, now_ms=world.clock.now_ms())
