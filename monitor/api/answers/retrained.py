"""Retraining: a model's policy, requests for one, and what became of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said
from monitor.api.answers.handled import Line

_DEADLINE = "2025-06-06T00:00:12Z"


def _kept(text: str) -> str:
    # A training that failed must be able to say so, whatever its last words hold; PostgreSQL
    # keeps no NUL, and a backup of SQLite goes into it.
    return text.replace("\0", "\ufffd")


def _seen(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it must be of characters that can be seen")
    return text


State = Literal["requested", "accepted", "running", "succeeded", "failed", "expired"]
Reported = Literal["running", "succeeded", "failed"]
_Url = Annotated[str, Field(max_length=2_000, pattern=r"^https?://[^\s]+$")]
_Version = Annotated[str, Field(min_length=1, max_length=200)]


class PolicyAnswer(Answer):
    """When the retraining of a model is asked for, and of whom."""

    model: str = said("The model", "flight-delay")
    trainer: str | None = said(
        "The endpoint that starts trainings; null once it was removed", "trainer"
    )
    kind: str | None = said("Its kind: webhook, airflow, databricks or github", "webhook")
    enabled: bool = said("Whether anything is asked for", True)
    open_days: int = said("Critical drift must have stood on so many ...", 5)
    of_days: int = said("... of the last so many local days", 28)
    cooldown_days: int = said("From one request to the next, in event time", 28)
    daily_budget: int = said("Requests of the whole service in 24 hours, at most", 10)
    answer_within_hours: int = said("From a trainer's word to its next one", 96)
    dry_run: bool = said("Requests are written down and not sent", False)
    updated: Instant = said("When it was set last", "2025-06-01T08:00:00Z", at="updated_ms")


class PolicyGone(Answer):
    """A policy that was removed."""

    model: str = said("The model", "flight-delay")


class PolicyBody(BaseModel):
    """A whole policy; it takes the place of the one before."""

    model_config = ConfigDict(extra="forbid")

    trainer: str = Field(
        max_length=100, examples=["trainer"],
        description="An endpoint of kind webhook, airflow, databricks or github",
    )  # fmt: skip
    enabled: bool = Field(True, description="false asks for nothing, and keeps the rest")
    open_days: int = Field(
        5, ge=1, le=90, description="Critical drift must have stood on so many ..."
    )
    of_days: int = Field(28, ge=1, le=90, description="... of the last so many local days")
    cooldown_days: int = Field(
        28, ge=0, le=730, description="From one request to the next, in event time"
    )
    daily_budget: int = Field(
        10, ge=1, le=10_000, description="Requests of the whole service in 24 hours, at most"
    )
    answer_within_hours: int = Field(
        96, ge=1, le=8_784,
        description="From a trainer's word to its next one; a message is tried for 76 hours",
    )  # fmt: skip
    dry_run: bool = Field(False, description="Write requests down, and send none")


class RunAnswer(Answer):
    """A training, as who runs it knows it."""

    kind: str = said("The trainer's kind; empty where only the page is known", "airflow")
    id: str = said("Its name there", "driftline__5b1c")
    url: str | None = said("Its page", "https://airflow.example/dags/retrain")


class RetrainEventAnswer(Answer):
    """Something that became of a request."""

    at: Instant = said("When, by the wall clock", "2025-06-02T00:00:14Z", at="at_ms")
    state: str = said(
        "The state it came to; or live, where the new version took over; or basis_withdrawn",
        "accepted",
    )
    actor: str = said("Who says so", "trainer")
    words: str = said("What else was said", "fold 3 of 5")


class RetrainAnswer(Answer):
    """One request for a retraining."""

    id: int = said("Its number", 7)
    model: str = said("The model", "flight-delay")
    version: str = said("The version that is to be replaced", "3")
    state: State = said("How far it came", "running")
    is_open: bool = said("Whether something of it is still to come", True)
    is_dry_run: bool = said("Whether it was only written down", False)
    origin: Literal["policy", "asked"] = said("What asked for it", "policy")
    actor: str = said("Who asked", "evaluator")
    trainer: str = said("Of whom", "trainer")
    summary: str = said("Why", "critical drift (temp and 2 more) stood on 5 of the last 28 days")
    evidence: dict[str, Any] = said(
        "The days, the drifts, their incidents and alerts", {"open_days": 5, "incidents": [12]}
    )
    basis_withdrawn: bool = said("Whether late events took away what it stands on", False)
    event_time: Instant = said(
        "Event time up to which it was decided", "2013-04-13T04:00:00Z", at="event_ms"
    )
    requested: Instant = said("When it was asked", "2025-06-02T00:00:12Z", at="requested_ms")
    deadline: Instant = said(
        "When it expires unless its trainer says something new", _DEADLINE, at="deadline_ms"
    )
    run: RunAnswer | None = said("The training, once it is known", default=None)
    made_version: str | None = said("The new version, as its trainer says", "4")
    live_version: str | None = said("The version that took over", "4")
    live: Instant | None = said("When that was known", "2025-06-02T01:10:00Z", at="live_ms")
    ended: Instant | None = said("When it ended", "2025-06-02T01:10:00Z", at="ended_ms")
    url: str = said("Its page", "http://127.0.0.1:8050/retrains/7")
    events: list[RetrainEventAnswer] = said("What became of it, the oldest first")


class ReportBody(BaseModel):
    """A trainer's word about a request."""

    model_config = ConfigDict(extra="forbid")

    state: Reported = Field(description="How far the training came", examples=["running"])
    message: Annotated[str, AfterValidator(_kept)] = Field(
        "", max_length=2_000, examples=["fold 3 of 5"], description="What else there is to say"
    )
    run_url: Annotated[_Url, AfterValidator(_seen)] | None = Field(
        None, examples=["https://ci.example/1"], description="The training's page"
    )
    version: Annotated[_Version, AfterValidator(_seen)] | None = Field(
        None, examples=["4"], description="The new version"
    )


class AskBody(BaseModel):
    """A wish for a retraining now."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, examples=["3"], description="The version to replace; the newest unless given"
    )
    reason: Annotated[str, AfterValidator(_kept)] = Field(
        "asked for by hand", min_length=1, max_length=2_000, description="Why",
        examples=["labels of March came in"],
    )  # fmt: skip
    by: Line = Field("", examples=["Mo"], description="Who asks")
    dry_run: bool = Field(
        False, description="Send nothing; say what the policy says, and what would be sent"
    )


class SaysAnswer(Answer):
    """What a policy says by itself at the last midnight that was judged."""

    verdict: Literal["ask", "held", "nothing"] = said("Whether it asks", "held")
    days: int = said("On how many of its days critical drift stood", 6)
    why: list[str] = said("What speaks against it", ["request 7 is running"])
    at: Instant = said("That midnight, in event time", "2013-04-13T04:00:00Z", at="at_ms")


class AskedAnswer(Answer):
    """What asking for a retraining did, or would do."""

    policy: SaysAnswer = said("What the policy says by itself; asking by hand overrides it")
    request: RetrainAnswer | None = said("The request; null where none was made", default=None)
    message: dict[str, Any] | None = said(
        "Of a dry run: what would be sent", {"type": "retrain.requested"}, default=None
    )
