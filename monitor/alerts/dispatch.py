"""The dispatcher: takes what is due from the outbox, sends it, and records what came back.

Sending happens outside any transaction, in threads, few of them for one endpoint, so that a slow
one holds up nobody else. Between sending and recording this process may die: then the lease
ends, and the same message is sent again.
"""

from __future__ import annotations

import random
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.engine import Connection, Engine

from driftline.errors import StorageUnavailable
from monitor.alerts import messages, requests, ways
from monitor.alerts.schedule import DELAYS_S, Answer, Next, next_step
from monitor.alerts.ways import Post, Ways
from monitor.clock import Clock
from monitor.storage import deliveries, endpoints, failing
from monitor.storage.deliveries import TEST_TYPE, Attempt, Claim, Due
from monitor.storage.engine import reading, transaction

log = structlog.get_logger(__name__)

# An attempt takes 15 s at most, its record a moment; the rest is for a database that is away
# and for clocks of several machines that differ.
LEASE_S: Final = 60.0
WORKERS: Final = 16
# Eight endpoints would have to hang at once before another one waited for them.
WORKERS_PER_ENDPOINT: Final = 2
_STOP_S: Final = 2.0
_RECORD_AGAIN_S: Final = 1.0


def _nothing(_: Claim) -> None:
    pass


@dataclass(frozen=True)
class Limits:
    """How much is done at once, and for how long a message is held."""

    lease_s: float = LEASE_S
    workers: int = WORKERS
    workers_per_endpoint: int = WORKERS_PER_ENDPOINT


class Dispatcher:
    """Sends what the outbox holds; any number of them may run.

    Parameters
    ----------
    engine
        An upgraded database.
    post
        What sends over HTTP; or `Ways`, with what sends otherwise.
    clock
        Of attempts and leases. Those of several machines must agree within `lease_s` less the
        longest attempt.
    limits
        See there.
    draw
        Numbers from [0, 1) for the jitter.
    after_sending
        Called with what was sent, before it is recorded: where a test ends the process.
    """

    def __init__(
        self,
        engine: Engine,
        post: Post | Ways,
        *,
        clock: Clock,
        limits: Limits = Limits(),
        draw: Callable[[], float] = random.random,
        after_sending: Callable[[Claim], None] = _nothing,
    ) -> None:
        self._ways = post if isinstance(post, Ways) else Ways(post)
        self._engine, self._clock, self._limits = engine, clock, limits
        self._draw, self._after_sending = draw, after_sending
        self._owner = f"{socket.gethostname()[:100]}-{secrets.token_hex(8)}"
        self._in_flight: Counter[int] = Counter()
        self._changed = threading.Condition()

    def step(self) -> int:
        """Begin to send what is due, as far as there are hands; return how many that was.

        Raises
        ------
        StorageUnavailable
            The database cannot be used now.
        """
        begun = 0
        while (free := self._free()) > 0:
            now_ms = self._clock.now_ms()
            with reading(self._engine) as conn:
                found = deliveries.due(conn, now_ms, busy=self._busy(), limit=free)
            taken = sum(self._begin(one, now_ms) for one in found)
            if not taken:
                break
            begun += taken
        return begun

    def wait(self, timeout_s: float) -> None:
        """Wait until something that was sent is recorded, at most `timeout_s`."""
        with self._changed:
            self._changed.wait(timeout_s)

    def finish(self, timeout_s: float = _STOP_S) -> bool:
        """Wait for what is being sent; False when some of it is still under way."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_flight.total(), timeout_s)

    def _free(self) -> int:
        with self._changed:
            return self._limits.workers - self._in_flight.total()

    def _busy(self) -> list[int]:
        with self._changed:
            most = self._limits.workers_per_endpoint
            return [endpoint for endpoint, n in self._in_flight.items() if n >= most]

    def _begin(self, one: Due, now_ms: int) -> bool:
        if one.endpoint_id in self._busy():
            return False
        lease_until_ms = now_ms + round(self._limits.lease_s * 1_000)
        with transaction(self._engine) as conn:
            held = deliveries.claim(conn, one.outbox_id, self._owner, now_ms, lease_until_ms)
        if held is None:
            return False
        with self._changed:
            self._in_flight[held.endpoint.id] += 1
        threading.Thread(target=self._work, args=(held,), name="deliver", daemon=True).start()
        return True

    def _work(self, held: Claim) -> None:
        try:
            self._deliver(held)
        except Exception:
            # The lease ends, and the message is sent again.
            log.exception("delivery", endpoint=held.endpoint.name, webhook=held.message.webhook_id)
        finally:
            with self._changed:
                self._in_flight[held.endpoint.id] -= 1
                self._changed.notify_all()

    def _deliver(self, held: Claim) -> None:
        at_ms, began_s = self._clock.now_ms(), self._clock.monotonic_s()
        if at_ms >= held.lease_until_ms:
            # This process stood still. Others may have sent it, its endpoint may be removed.
            log.warning("too late to send", webhook=held.message.webhook_id, attempt=held.number)
            return
        answer = ways.send(held, at_ms, self._ways)
        duration_ms = round((self._clock.monotonic_s() - began_s) * 1_000)
        self._after_sending(held)
        attempt = Attempt(
            held.number, at_ms, duration_ms, answer.status, answer.why, answer.body or None
        )
        while True:
            try:
                self._record(held, attempt, answer)
            except StorageUnavailable as error:
                if self._clock.now_ms() + _RECORD_AGAIN_S * 1_000 >= held.lease_until_ms:
                    raise
                log.warning("cannot record a delivery yet", error=str(error))
                threading.Event().wait(_RECORD_AGAIN_S)
            else:
                return

    def _record(self, held: Claim, attempt: Attempt, answer: Answer) -> None:
        now_ms = attempt.at_ms + attempt.duration_ms
        # Nobody waits for days for a test.
        most = 1 if held.message.type == TEST_TYPE else len(DELAYS_S)
        then = next_step(answer, held.number_of_round, now_ms, self._draw(), attempts=most)
        lost = 0
        with transaction(self._engine) as conn:
            requests.take_turn(conn, held)
            why, ends = self._ending(conn, held, then, answer, now_ms)
            counts = deliveries.record(conn, held, attempt, then.state, due_ms=then.due_ms)
            if counts:
                requests.note(conn, held, then.state, answer, now_ms)
            if ends:
                # Who wants nothing more gets nothing more; who is down may be mended.
                lost = deliveries.bury(conn, held.endpoint.id, now_ms) if then.is_gone else 0
                messages.tell_disabled(conn, held.endpoint, why, lost, now_ms)
        said = {
            "endpoint": held.endpoint.name,
            "type": held.message.type,
            "webhook": held.message.webhook_id,
            "attempt": held.number,
        }
        if ends:
            log.warning("endpoint is disabled", **said, why=why, given_up=lost)
        elif then.state == "delivered":
            log.info("delivered", **said, duration_ms=attempt.duration_ms)
        elif not counts:
            log.info("failed, and not needed any more", **said, error=answer.why)
        elif then.state == "dead":
            log.error("given up", **said, error=answer.why)
        else:
            log.warning("not delivered yet", **said, error=answer.why)

    def _ending(
        self, conn: Connection, held: Claim, then: Next, answer: Answer, now_ms: int
    ) -> tuple[str, bool]:
        """Count this attempt for its endpoint; return why it ends with it, and whether it does.

        First of all in the transaction: whoever writes messages or ends an endpoint takes turns
        here, before any message is held, so that two never wait for each other.
        """
        endpoint_id, why = held.endpoint.id, answer.why or ""
        if then.is_gone:
            return why, endpoints.disable(conn, endpoint_id, why, now_ms=now_ms)
        is_test = held.message.type == TEST_TYPE
        if not answer.is_delivered and is_test:
            return "", False
        if not answer.is_delivered and failing.is_lost(conn, endpoint_id, now_ms):
            why = f"nothing arrived there for {failing.DAYS} days, at last because: {why}"
            if endpoints.disable(conn, endpoint_id, why, now_ms=now_ms):
                return why, True
        failing.note(conn, endpoint_id, now_ms, arrived=answer.is_delivered)
        return "", False
