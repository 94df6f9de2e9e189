"""Retraining: the verbs of `driftline.Client` that say when, ask for it and report about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from driftline import answers
from driftline.reading import Reading, _escaped, _name, _typed

# What a server takes of a training's words.
_MOST_TOLD: Final = 2_000
_CUT: Final = " ... "


class Retraining(Reading):
    """The half of `driftline.Client` that starts trainings and follows them."""

    def retraining(self, model: str) -> answers.Retraining:
        """Return when the retraining of a model is asked for.

        Raises
        ------
        ApiError
            404: the model has no policy, or there is no such model.
        """
        return self._one(answers.Retraining, f"models/{_escaped(model)}/retraining")

    def set_retraining(
        self,
        model: str,
        trainer: str,
        *,
        open_days: int = 5,
        of_days: int = 28,
        cooldown_days: int = 28,
        daily_budget: int = 10,
        answer_within_hours: int = 96,
        dry_run: bool = False,
        enabled: bool = True,
    ) -> answers.Retraining:
        """Let a model's retraining be asked for from the next midnight on.

        Parameters
        ----------
        trainer
            An endpoint of kind webhook, airflow, databricks or github.
        open_days, of_days
            On so many (1 to 90) of the last `of_days` local days critical drift must have stood.
        cooldown_days
            From one request to the next (0 to 730), in event time.
        daily_budget
            As many requests the whole service makes in 24 hours at most.
        answer_within_hours
            From a trainer's word to its next one (1 to 8,784).
        dry_run
            Write requests down, and send none.
        enabled
            False asks for nothing, and keeps the rest.

        Raises
        ------
        ApiError
            There is no such model or endpoint, or the endpoint cannot train.
        """
        body = {
            "trainer": trainer, "open_days": open_days, "of_days": of_days,
            "cooldown_days": cooldown_days, "daily_budget": daily_budget,
            "answer_within_hours": answer_within_hours, "dry_run": dry_run, "enabled": enabled,
        }  # fmt: skip
        path = f"/api/v1/models/{_escaped(model)}/retraining"
        found = self._call("PUT", path, content=msgspec.json.encode(body))
        return _typed(found, answers.Retraining)

    def remove_retraining(self, model: str) -> None:
        """Ask for no retraining of a model any more; what was asked for goes on."""
        self._call("DELETE", f"/api/v1/models/{_escaped(model)}/retraining")

    def retrains(
        self,
        model: str | None = None,
        *,
        version: str | int | None = None,
        state: str | None = None,
        incident: int | None = None,
        limit: int | None = None,
    ) -> Iterator[answers.Retrain]:
        """Yield requests for a retraining, the last asked first.

        `state` is requested, accepted, running, succeeded, failed or expired; `incident` is the
        number of one that they stand on.
        """
        return self._pages(
            answers.Retrain, "retrains", limit, model=model, version=_name(version), state=state,
            incident=incident,
        )  # fmt: skip

    def retrain(self, id: int) -> answers.Retrain:
        """Return one request for a retraining, with what became of it."""
        return self._one(answers.Retrain, f"retrains/{int(id)}")

    def ask_retrain(
        self,
        model: str,
        *,
        version: str | int | None = None,
        reason: str | None = None,
        by: str = "",
        dry_run: bool = False,
    ) -> answers.RetrainAsked:
        """Ask a model's trainer for a retraining now, whatever the policy says by itself.

        Parameters
        ----------
        version
            Which is to be replaced; the newest unless given.
        dry_run
            Send nothing: the answer has the message that would be sent, and what the policy says.

        Raises
        ------
        ApiConflict
            A request of the version is open, or the trainer takes no messages.
        """
        body: dict[str, Any] = {"by": by, "dry_run": dry_run}
        if version is not None:
            body["version"] = str(version)
        if reason is not None:
            body["reason"] = reason
        path = f"/api/v1/models/{_escaped(model)}/retrains"
        found = self._call("POST", path, content=msgspec.json.encode(body))
        return _typed(found, answers.RetrainAsked)

    def report_retrain(
        self,
        id: int,
        state: str,
        *,
        message: str = "",
        run_url: str | None = None,
        version: str | int | None = None,
    ) -> answers.Retrain:
        """Say how a training comes on; the same word again changes nothing.

        Parameters
        ----------
        id
            The `request_id` of the message that asked for it.
        state
            running, as often as there is something to say; then succeeded or failed.
        message
            What else there is to say, such as a traceback: of more than 2,000 characters the
            beginning and the end are told.
        run_url
            The training's page.
        version
            The new version, where it succeeded. Register its reference with
            ``register_reference(..., replaces=...)``: then it takes over.

        Raises
        ------
        ApiConflict
            The request is over, or further on already.
        """
        told = _told(message)
        asked = {"state": state, "message": told, "run_url": run_url, "version": _name(version)}
        body = {key: value for key, value in asked.items() if value is not None}
        path = f"/api/v1/retrains/{int(id)}"
        return _typed(self._call("POST", path, content=msgspec.json.encode(body)), answers.Retrain)


def _told(message: str) -> str:
    """Return a message as the server takes it: whatever a training's last words hold."""
    whole = message.encode("utf-8", "replace").decode()
    if len(whole) <= _MOST_TOLD:
        return whole
    half = (_MOST_TOLD - len(_CUT)) // 2
    return f"{whole[:half]}{_CUT}{whole[-half:]}"
