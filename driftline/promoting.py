"""The part of the SDK that says which version is live, and lets MLflow say it."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from driftline import answers
from driftline.endpoints import Endpoints
from driftline.reading import When, _escaped, _instant, _name, _typed


class Promoting(Endpoints):
    """Promotions of versions, and hooks."""

    def promote(
        self,
        model: str,
        version: str | int,
        *,
        replaces: str | int | None = None,
        effective: When = None,
    ) -> answers.Promotion:
        """Make a version live: incidents of the one that it replaces end where it takes over.

        A version that is live already stays so: `created` is False then.

        Parameters
        ----------
        replaces
            What it replaces; what is live then, where nothing is named.
        effective
            From when on, in event time (with an offset); from the last event that was counted of
            the model, where nothing is named.

        Raises
        ------
        ApiConflict
            The version has no reference, another one is promoted for that time, the time is so
            long past that its windows are not revised any more, or versions would replace each
            other in a circle.
        ApiError
            There is no such model or version.
        """
        asked = {
            "version": str(version), "replaces": _name(replaces),
            "effective": _instant(effective, "effective"),
        }  # fmt: skip
        body = {key: value for key, value in asked.items() if value is not None}
        path = f"/api/v1/models/{_escaped(model)}/promotions"
        return _typed(
            self._call("POST", path, content=msgspec.json.encode(body)), answers.Promotion
        )

    def promotions(self, model: str) -> list[answers.Promotion]:
        """Return a model's promotions: what waits for its reference, then the last effective."""
        return list(self._pages(answers.Promotion, f"models/{_escaped(model)}/promotions"))

    def add_hook(
        self,
        name: str,
        model: str,
        *,
        registered: str | None = None,
        alias: str = "champion",
        secret: str | None = None,
    ) -> answers.NewHook:
        """Let MLflow promote a model's versions: by an alias that is set in its registry.

        Create the webhook there with the `url` and the `secret` of the answer, for the event
        ``model_version_alias.created``. The same again changes nothing.

        Parameters
        ----------
        name
            1 to 100 letters, digits, dots, dashes and underscores; part of the address.
        registered
            What MLflow calls the model, where it is not `model`.
        alias
            The alias that promotes; others are ignored.
        secret
            What MLflow signs with, at least 16 characters; one is made where none is given.

        Raises
        ------
        ApiConflict
            The name belongs to a hook for something else.
        """
        asked = {
            "name": name, "model": model, "registered": registered, "alias": alias,
            "secret": secret,
        }  # fmt: skip
        body = {key: value for key, value in asked.items() if value is not None}
        found = self._call("POST", "/api/v1/hooks", content=msgspec.json.encode(body))
        made = _typed(found, answers.NewHook)
        return replace(made, secret=secret) if secret is not None and made.is_new else made

    def hooks(self) -> list[answers.Hook]:
        """Return the hooks by name, with how often what came was believed, and was not."""
        return list(self._pages(answers.Hook, "hooks"))

    def remove_hook(self, name: str) -> None:
        """Believe nothing any more that comes by it, and forget its secret."""
        self._call("DELETE", f"/api/v1/hooks/{_escaped(name)}")
