"""Hooks: where MLflow tells which version it has promoted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class HookAnswer(Answer):
    """One way in, and what came by it."""

    name: str = said("Its name", "registry")
    kind: str = said("mlflow", "mlflow")
    url: str = said("Where MLflow sends", "http://127.0.0.1:8050/api/v1/hooks/mlflow/registry")
    model: str = said("The model whose versions it promotes", "flight-delay")
    registered: str = said("What MLflow calls the model", "flight-delay")
    alias: str = said("The alias that promotes; others are ignored", "champion")
    created: Instant = said("When it was added", "2025-06-01T08:00:00Z", at="created_ms")
    accepted: int = said("Deliveries that were signed with its secret", 3)
    last_accepted: Instant | None = said(
        "When the last of them came", "2025-06-02T08:00:00Z", at="accepted_ms"
    )
    refused: int = said("Deliveries that were not: forged, unsigned, too old", 0)
    last_refused: Instant | None = said("When the last of them came", None, at="refused_ms")
    refused_why: str | None = said("Why it was refused", None)


class HookTold(HookAnswer):
    """A hook that was added."""

    is_new: bool = said("False where it was there already", True)
    secret: str | None = said(
        "What MLflow signs with, where it was made here: told this once",
        "Jv4iZ1xKvN9mZ0m0uTq3wD2bV8yYl5pQ7rXc6sAeHkM",
    )


class HookGone(Answer):
    """A hook that was removed."""

    name: str = said("The name it had", "registry")


class HookBody(BaseModel):
    """What promotes which model."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["mlflow"] = Field("mlflow", description="Whose registry tells")
    name: str = Field(
        max_length=100, examples=["registry"],
        description="Its name, in the address that MLflow sends to",
    )  # fmt: skip
    model: _Name = Field(
        examples=["flight-delay"], description="The model whose versions it promotes"
    )
    registered: _Name | None = Field(
        None, examples=["flight-delay"],
        description="What MLflow calls the model; the same, where nothing is named",
    )  # fmt: skip
    alias: _Name = Field("champion", description="The alias that promotes; others are ignored")
    secret: str | None = Field(
        None, max_length=500,
        description="What MLflow signs with, at least 16 characters; one is made where none is "
        "given",
    )  # fmt: skip


class HookDone(Answer):
    """What a delivery did."""

    outcome: str = said(
        "promoted, unchanged (it is live already), pending (it waits for its reference) or ignored",
        "promoted",
    )
    detail: str = said("In words", "Version 3 of flight-delay is live.")
    replayed: bool = said("Whether the delivery came before, and was done then", False)
