"""What was told of an incident stands on its page: every state of a message, every attempt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy.engine import Engine

from dashboard import sentences_deliveries as say
from dashboard.address import Asked
from dashboard.cards_deliveries import worst
from dashboard.look import Look, Screen
from dashboard.pages import incident
from dashboard.words import NBSP
from monitor.storage import endpoints
from monitor.storage import schema as t
from monitor.storage.deliveries import Attempt
from monitor.storage.engine import reading, transaction
from monitor.storage.reads.sent import Sent
from monitor.views.delivered import Counts, Delivered, Message, counts, delivered
from monitor.views.episodes import group_of, listed

UTC = ZoneInfo("UTC")
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
SENT = Sent(
    id=7, endpoint="on-call", kind="webhook", is_removed=False, disabled_reason=None,
    webhook_id="msg_1", alert_id="a", sequence=1, type="drift.detected", state="pending",
    attempts=0, tried_before=0, created_ms=NOW_MS, due_ms=NOW_MS, not_before_ms=None,
    lease_until_ms=None, finished_ms=None,
)  # fmt: skip
BUSY = Attempt(1, NOW_MS - HOUR, 830, 503, "it answered 503", "busy")
LATE = Attempt(2, NOW_MS - HOUR + 6 * SECOND, 15_000, None, "no answer within 15 s", None)
TAKEN = Attempt(3, NOW_MS - HOUR + 330 * SECOND, 42, 204, None, "")


def message(*tried: Attempt, waits_for: int | None = None, **more: Any) -> Message:
    given = {"attempts": len(tried), **more}
    return Message(replace(SENT, **given), tried, waits_for)


def state(one: Message) -> tuple[str, str, str]:
    found = say.state(one, UTC, 2026, NOW_MS)
    return found.word.replace(NBSP, " "), found.tone, found.why.replace(NBSP, " ")


def filled(engine: Engine, number: int, search: str = "", **screen: Any) -> dict[str, Any]:
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=("incidents", str(number)), asked=Asked(search),
            screen=Screen(**screen), now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = dict(incident.PAGE.fill(look))
        values["notes"] = look.asked.notes
    found: dict[str, Any] = json.loads(json.dumps(values, cls=PlotlyJSONEncoder))
    return found


def text(value: Any) -> str:
    """What a component says, with plain spaces."""
    if isinstance(value, list):
        return " ".join(filter(None, (text(one) for one in value)))
    if isinstance(value, dict):
        return text(value.get("props", {}).get("children"))
    return "" if value is None else " ".join(str(value).split())


@pytest.mark.parametrize(
    ("one", "word", "tone", "why"),
    [
        (message(TAKEN, state="delivered"), "Delivered", "ok", ""),
        (message(), "Waits", "idle", "It was not sent yet; it is due now."),
        (
            message(BUSY, LATE, due_ms=NOW_MS + 4 * MINUTE),
            "Failing", "warn",
            "Tried twice in vain; the next attempt is in 4 min, at 14:44. "
            "After 8 more it is given up.",
        ),
        (
            message(BUSY, lease_until_ms=NOW_MS + 1),
            "Being sent", "idle", "It is being sent at this moment.",
        ),
        (
            message(waits_for=5),
            "Waits for #5", "idle",
            "It waits until message #5, which says what came before, arrived.",
        ),
        (
            message(not_before_ms=NOW_MS + 16 * HOUR),
            "Quiet until 17 May 06:40", "idle",
            "The route's quiet hours hold it until 17 May 06:40: it is not critical.",
        ),
        (
            message(BUSY, disabled_reason="by Mo"),
            "Endpoint is off", "warn", "Its endpoint is switched off: by Mo. It waits.",
        ),
        (
            message(BUSY, LATE, state="dead"),
            "Given up", "crit",
            "Given up after 2 attempts. Once the receiver is mended, redeliver it: it keeps its "
            "id and body.",
        ),
        (
            message(BUSY, state="dead", disabled_reason="410"),
            "Given up", "crit",
            "Given up: its endpoint is switched off (410). Mend the receiver and switch it on, "
            "then redeliver this.",
        ),
        (
            message(BUSY, state="dead", is_removed=True),
            "Given up", "crit", "Given up after 1 attempt. Its endpoint is removed.",
        ),
        (
            message(state="cancelled", is_removed=True),
            "Cancelled", "idle", "Its endpoint was removed before it was sent.",
        ),
        (
            message(state="cancelled"),
            "Cancelled", "idle", "A later message of its alert says all that it said.",
        ),
    ],
)  # fmt: skip
def test_each_state_of_a_message_is_said(one: Message, word: str, tone: str, why: str) -> None:
    assert state(one) == (word, tone, why)


def test_what_mends_it_is_a_command_with_the_endpoint_s_name_as_a_shell_takes_it() -> None:
    one = message(BUSY, state="dead", disabled_reason="410", endpoint="the pager's; rm")
    mend = say.state(one, UTC, 2026, NOW_MS).mend
    assert mend.endswith("""endpoint enable 'the pager'"'"'s; rm'""")


def test_a_strip_has_what_came_back_how_long_it_took_and_when_and_what_is_next() -> None:
    one = message(BUSY, LATE, due_ms=NOW_MS + 4 * MINUTE)
    found = say.cells(one, UTC, 2026, NOW_MS)
    said = [(c.head, c.beside.replace(NBSP, " "), c.at.replace(NBSP, " "), c.tone) for c in found]
    assert said == [
        ("503", "in 0.8 s", "16 May 13:40:00", "failed"),
        ("timeout", "after 15 s", "13:40:06", "failed"),
        ("next", "in 4 min", "14:44:00", "next"),
    ]
    done = say.cells(message(BUSY, LATE, TAKEN, state="delivered"), UTC, 2026, NOW_MS)
    assert [(c.head, c.tone) for c in done][2:] == [("204", "ok")]
    # What waits for another message, or for its endpoint, has no next attempt of its own.
    for held in ({"disabled_reason": "by Mo"}, {"state": "dead"}):
        assert "next" not in {c.tone for c in say.cells(message(BUSY, **held), UTC, 2026, NOW_MS)}
    waits = message(BUSY, waits_for=5)
    assert "next" not in {c.tone for c in say.cells(waits, UTC, 2026, NOW_MS)}


def test_who_looks_is_shown_the_message_that_needs_somebody() -> None:
    fine = message(TAKEN, state="delivered", id=1)
    often = message(BUSY, LATE, TAKEN, state="delivered", id=2)
    failing = message(BUSY, id=3)
    lost = message(BUSY, state="dead", id=4)
    for some, wanted in (((fine, often), 2), ((often, failing), 3), ((failing, lost, fine), 4)):
        assert worst(some).sent.id == wanted


def test_only_what_can_be_sent_is_offered_to_be_sent_again() -> None:
    offered = {
        "Try now": [message(BUSY)],
        "Redeliver": [message(TAKEN, state="delivered"), message(BUSY, state="dead")],
        "": [
            message(state="cancelled"),
            message(BUSY, state="dead", is_removed=True),
            message(BUSY, disabled_reason="by Mo"),
            message(waits_for=5),
            message(TAKEN, state="delivered", type="endpoint.test"),
        ],
    }
    for words, some in offered.items():
        assert [say.can_be_asked_for(one) for one in some] == [words] * len(some)


def test_why_nobody_was_told_is_said_with_the_way_out() -> None:
    def why(found: Delivered, **more: bool) -> tuple[str, bool]:
        said, mend = say.nothing(found, **{"is_muted": False, "is_silenced": False, **more})
        return said.split(":")[0], bool(mend)

    some = Delivered(endpoints=2)
    assert why(Delivered()) == ("Alerts are sent to nobody", True)
    assert say.nothing(some, is_muted=True, is_silenced=False)[0].endswith("speaks for it.")
    assert say.nothing(some, is_muted=False, is_silenced=True)[0].endswith("it is silenced.")
    held = replace(some, held_since_ms=NOW_MS)
    assert why(held) == ("It waits for the next message", False)
    assert why(some) == ("No message was decided for it", True)


def test_a_page_tells_every_message_and_the_one_that_was_given_up_first(living: Engine) -> None:
    found = filled(living, 1)
    said = text(found["sent"])
    for word in ("Delivered", "Failing", "Given up", "Cancelled"):
        assert word in said
    assert text(found["sent_head"]) == "Deliveries 2 of 4 arrived All deliveries"
    assert "Given up: its endpoint is switched off (it answered 410 Gone" in said
    assert "endpoint enable old-hook" in said
    assert '"data-delivery": "4"' in json.dumps(found["sent"])
    # While something waits, the page asks again by itself.
    assert found["waits"]["props"]["data-refresh"]
    # Another one is chosen by the address; the strip tells its attempts, and a table too.
    other = text(filled(living, 1, "?delivery=2")["sent"])
    assert "503 in 0.8 s 11 May 22:00:00 timeout after 15 s 22:00:08" in other
    assert "204 in 0.2 s" in other and "no answer within 15 s" in other
    assert filled(living, 1, "?delivery=10")["notes"] == [
        "Message 10 does not tell of this incident."
    ]
    narrow = filled(living, 1, is_narrow=True)["sent"]
    assert "sent-rows" in json.dumps(narrow) and "on-call drift.resolved 204" in text(narrow)


def test_a_message_is_shown_to_wait_for_the_one_before_it(living: Engine) -> None:
    said = text(filled(living, 8, "?delivery=20")["sent"])
    assert "Waits for #16" in said and "It was not sent yet." in said


def test_of_what_was_told_to_nobody_the_page_says_why(living: Engine) -> None:
    with transaction(living) as conn:
        conn.execute(sa.delete(t.outbox))
    said = text(filled(living, 1)["sent"])
    assert "No message was decided for it" in said and "route list" in said
    assert filled(living, 1)["waits"] is None
    with transaction(living) as conn:
        for one in endpoints.endpoints(conn):
            endpoints.remove(conn, one.id, now_ms=NOW_MS)
    assert "endpoint add NAME URL" in text(filled(living, 1)["sent"])


def test_a_list_counts_what_arrived_of_each_problem(living: Engine) -> None:
    with reading(living) as conn:
        found = counts(conn, listed(conn).groups)
        one = delivered(conn, group_of(conn, 1)).counts
        assert delivered(conn, group_of(conn, 8)).counts == found[8]
    assert found[1] == one == Counts(2, 1, 1)
    assert found[6] == Counts(2, 1, 0)
    assert found[8] == Counts(4, 2, 0)
    assert say.tally(found[1]) == ("octagon-alert", "2 of 4", "crit")
    assert say.tally(found[6]) == ("clock", "2 of 3", "warn")
    assert say.tally(Counts(2)) == ("check", "2 of 2", "ok")
    assert say.tally(Counts()) is None
