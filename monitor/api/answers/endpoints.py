"""Endpoints and what was sent to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said
from monitor.api.parameters import MAX_INT, MAX_NAME, is_storable, moment

URL = "https://hooks.example/drift"
WHY = "it answered 500"


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("no name holds half a character")
    return text


def asked_for(words: str, example: Any, **more: Any) -> Any:
    """Return a field of a body that may be left out."""
    return Field(None, description=words, examples=[example], **more)


Text = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_storable)]
Moment = Annotated[datetime, BeforeValidator(moment)]


class EndpointAnswer(Answer):
    """Where alerts are sent. Its secret is never told again."""

    name: str = said("Its name", "on-call")
    kind: str = said(
        "webhook, slack, pagerduty, smtp, apprise, airflow, databricks or github", "webhook"
    )
    url: str = said(
        "Its address; what may be a secret in it, long parts and a query's values, is hidden", URL
    )
    starts: str | None = said("What a trainer starts; null where it is none", None)
    state: str = said("enabled or disabled", "enabled")
    disabled_reason: str | None = said("Why nothing is sent to it", None)
    disabled: Instant | None = said("Since when", "2025-06-02T08:00:00Z", at="disabled_ms")
    created: Instant = said("When it was added", "2025-06-01T08:00:00Z", at="created_ms")
    fingerprint: str | None = said(
        "Tells its secret from others and gives nothing away; null where it has none", "f74e1720"
    )
    rotating_until: Instant | None = said(
        "Until when the secret before signs, too", "2025-06-03T08:00:00Z", at="rotating_until_ms"
    )
    delivered: int = said("Messages that arrived; tests do not count", 17)
    failed: int = said("Messages that were given up", 0)
    pending: int = said("Messages that wait, for their first or for another attempt", 1)
    last_attempt: Instant | None = said(
        "When something was last sent to it", "2025-06-02T08:00:00Z", at="last_attempt_ms"
    )
    last_error: str | None = said("Why that failed; null when it arrived", WHY)
    failing_since: Instant | None = said(
        "Since when nothing arrives any more; after five days it is disabled", None,
        at="failing_since_ms",
    )  # fmt: skip


class EndpointTold(EndpointAnswer):
    """An endpoint that was added or has a new secret."""

    is_new: bool = said("Whether this request added it", True)
    secret: str | None = said(
        "The secret that was made for it, told this once; null where the request gave one or "
        "nothing was made",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    warnings: list[str] = said("What to know about it", [])


class EndpointGone(Answer):
    """An endpoint that was removed."""

    name: str = said("Its name, which is free again", "on-call")
    cancelled: int = said("Messages that waited for it and are not sent any more", 0)


class AttemptAnswer(Answer):
    """One time that a message was sent. An attempt without a record was cut off."""

    number: int = said("From 1", 1)
    at: Instant = said("When it began", "2025-06-02T08:00:00Z", at="at_ms")
    duration_ms: int = said("How long it took", 48)
    status: int | None = said("Of the answer; null without one", 500)
    error: str | None = said("Why it failed; null when it arrived", WHY)
    response: str | None = said(
        "The answer's beginning, at most 4 KB; null to whoever may only read",
        "Internal Server Error",
    )


class DeliveryAnswer(Answer):
    """One message for one endpoint."""

    id: int = said("Its number", 12)
    endpoint: str = said("Where it goes", "on-call")
    webhook_id: str = said("The `webhook-id` that every attempt carries", "msg_2f6c")
    alert_id: str | None = said("The alert that it is of; null where it is of none", "alert_9b1d")
    sequence: int = said("Its place among the messages of that alert", 1)
    type: str = said("What it tells", "drift.detected")
    state: str = said("pending, delivered, dead (given up) or cancelled", "delivered")
    attempts: int = said("How often it was sent, or begun to be", 1)
    created: Instant = said("When it was decided", "2025-06-02T08:00:00Z", at="created_ms")
    due: Instant | None = said("When it is sent next", "2025-06-02T08:05:00Z", at="due_ms")
    finished: Instant | None = said(
        "When it arrived or was given up", "2025-06-02T08:00:01Z", at="finished_ms"
    )
    status: int | None = said("Of the last answer", 204)
    error: str | None = said("Why the last attempt failed", WHY)


class DeliveryDetail(DeliveryAnswer):
    """A message with its body and every recorded attempt."""

    body: str = said("As it is sent, byte for byte", '{"type":"endpoint.test"}')
    tried: list[AttemptAnswer] = said("The attempts, the first first")


class ServiceIncidentAnswer(Answer):
    """What is wrong with a part of Driftline itself; open while `resolved` is null."""

    id: int = said("Its number, apart from those of models' incidents", 2)
    kind: str = said(
        "delivery: an endpoint was disabled because nothing arrived there; pipeline: records are "
        "lost or not counted, or a role does not work; promotion: a version was promoted that has "
        "no reference",
        "delivery",
    )
    name: str = said("Which one", "on-call")
    severity: str = said("warning or critical", "warning")
    summary: str = said("What happened, in a sentence", "Endpoint on-call was disabled: 410.")
    opened: Instant = said("When it began", "2025-06-02T08:00:00Z", at="opened_ms")
    resolved: Instant | None = said("When it ended", None, at="resolved_ms")
    resolved_as: str | None = said(
        "enabled or removed; recovered or forgotten; promoted or replaced", None
    )


class RedeliveryAnswer(Answer):
    """Which messages are sent again."""

    ids: list[int] = said("Deliveries, the first decided first", [12])
    more: bool = said("Whether there are more than one request takes", False)
    is_dry_run: bool = said("Whether nothing was changed", False)


class RedeliveryBody(BaseModel):
    """Which messages to send again; what is given must all hold."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["dead", "delivered"] = Field(
        "dead", description="Those that were given up, or those that arrived"
    )
    endpoint: Text | None = asked_for("Those for this endpoint", "on-call")
    alert_id: Text | None = asked_for("Those of this alert", "5f0c1d5be1f24c1c8c0f6a3a9f4e8d10")
    type: Text | None = asked_for("Those of this type", "drift.detected")
    first: int | None = asked_for("From this delivery on", 12, ge=1, le=MAX_INT)
    last: int | None = asked_for("Up to this delivery, and with it", 40, ge=1, le=MAX_INT)
    from_: Moment | None = asked_for("Decided from then on", "2025-06-02T07:00:00Z", alias="from")
    to: Moment | None = asked_for("Decided before then", "2025-06-02T08:00:00Z")
    all: bool = Field(False, description="Every one; needed where nothing else is given")
    dry_run: bool = Field(False, description="Tell which, and change nothing")


class MailBody(BaseModel):
    """Who a mail is from and for."""

    model_config = ConfigDict(extra="forbid")

    sender: str = Field(
        max_length=254, alias="from", examples=["driftline@firm.example"],
        description="Who a mail is from",
    )  # fmt: skip
    to: list[Annotated[str, Field(max_length=254)]] = Field(
        min_length=1, max_length=20, examples=[["ml@firm.example"]], description="Who it is for"
    )
    user: str | None = Field(
        None, max_length=254, examples=["driftline"],
        description="Who logs in at the mail server; `secret` is the password",
    )  # fmt: skip


class AirflowBody(BaseModel):
    """Which DAG a request starts, and as whom."""

    model_config = ConfigDict(extra="forbid")

    dag: str = Field(
        min_length=1, max_length=250, examples=["retrain_flight_delay"], description="Its id"
    )
    user: str | None = Field(
        None, min_length=1, max_length=254, examples=["driftline"],
        description="Who starts it; `secret` is the password. Without one `secret` is a token",
    )  # fmt: skip
    airflow: Literal["2", "3"] | None = Field(
        None, description="Which Airflow it is; found out where it is not said"
    )


class DatabricksBody(BaseModel):
    """Which job a request runs."""

    model_config = ConfigDict(extra="forbid")

    job: int = Field(ge=1, le=MAX_INT, examples=[11223344], description="Its number")
    parameters: dict[str, Annotated[str, Field(max_length=1_000)]] | None = Field(
        None, max_length=50, examples=[{"driftline_report_url": "{report_url}"}],
        description="Its job parameters, filled from the request: {request_id}, {key}, {model}, "
        "{version}, {reason}, {url}, {report_url}, {deadline}, and {request} as JSON",
    )  # fmt: skip


class GithubBody(BaseModel):
    """Which repository is sent an event."""

    model_config = ConfigDict(extra="forbid")

    repository: str = Field(
        min_length=3, max_length=140, examples=["acme/models"], description="owner/name"
    )
    event: str | None = Field(
        None, min_length=1, max_length=100, examples=["driftline-retrain"],
        description="For which a workflow of it waits; driftline-retrain unless given",
    )  # fmt: skip


class EndpointBody(BaseModel):
    """What an endpoint is added with."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=100, examples=["on-call"],
        description="1 to 100 letters, digits, dots, dashes and underscores",
    )  # fmt: skip
    url: str = Field(
        max_length=2_000, examples=[URL],
        description="http:// or https://; of mail smtp:// or smtps://",
    )  # fmt: skip
    secret: str | None = Field(
        default=None, max_length=4_096, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        description="Of a webhook: base64 of 24 to 64 bytes after whsec_; one is made where none "
        "is given. Of pagerduty: the integration key. Of smtp: the password. Of airflow: the "
        "user's password, or a token. Of databricks and github: a token",
    )  # fmt: skip
    kind: Literal[
        "webhook", "slack", "pagerduty", "smtp", "apprise", "airflow", "databricks", "github"
    ] = Field("webhook", description="What is sent there, and how")
    mail: MailBody | None = Field(None, description="Of smtp: who a mail is from and for")
    airflow: AirflowBody | None = Field(None, description="Of airflow: which DAG is started")
    databricks: DatabricksBody | None = Field(None, description="Of databricks: which job runs")
    github: GithubBody | None = Field(None, description="Of github: which repository is told")

    @property
    def given(self) -> dict[str, dict[str, Any]]:
        """What is given of each kind's settings."""
        bodies = {
            "smtp": self.mail, "airflow": self.airflow, "databricks": self.databricks,
            "github": self.github,
        }  # fmt: skip
        return {
            kind: body.model_dump(by_alias=True)
            for kind, body in bodies.items()
            if body is not None
        }


class RotationBody(BaseModel):
    """How a secret is replaced."""

    model_config = ConfigDict(extra="forbid")

    secret: str | None = Field(
        default=None, max_length=4_096, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        description="The new secret; one is made where none is given",
    )  # fmt: skip
    overlap_s: int = Field(
        default=86_400, ge=0, le=30 * 86_400, examples=[86_400],
        description="For how long the secret before signs, too",
    )  # fmt: skip


class DisablingBody(BaseModel):
    """Why an endpoint is disabled."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        default="disabled by hand", max_length=500, examples=["maintenance until Monday"],
        description="What people read beside its name",
    )  # fmt: skip
