"""The part of the SDK that says where alerts are sent, and sends them again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from driftline import answers
from driftline.errors import ApiConflict, ApiError
from driftline.program import command
from driftline.reading import Reading, When, _escaped, _range, _typed
from driftline.webhooks import fingerprint, new_secret


class Endpoints(Reading):
    """Endpoints and what was sent to them."""

    def endpoints(self) -> list[answers.Endpoint]:
        """Return the endpoints by name, with what became of the messages for each."""
        return list(self._pages(answers.Endpoint, "endpoints"))

    def endpoint(self, name: str) -> answers.Endpoint:
        """Return one endpoint."""
        return self._one(answers.Endpoint, f"endpoints/{_escaped(name)}")

    def add_endpoint(
        self,
        name: str,
        url: str,
        *,
        secret: str | None = None,
        kind: str = "webhook",
        mail: Mapping[str, Any] | None = None,
        trainer: Mapping[str, Any] | None = None,
    ) -> answers.NewEndpoint:
        """Send every alert to `url` from now on; to a trainer, its requests alone.

        The same name and address again change nothing, so this may be retried freely.

        Parameters
        ----------
        name
            1 to 100 letters, digits, dots, dashes and underscores.
        url
            http:// or https://, of mail smtp:// or smtps://; where it is private, the server's
            setting `alerts.allow` must hold its network.
        secret
            What signs (``whsec_...``); one is made where none is given, and told in the answer
            this once: give it to the receiver. Of ``pagerduty`` the integration key, of ``smtp``
            the password, of ``airflow`` the user's password or a token, of ``databricks`` and
            ``github`` a token.
        kind
            webhook, slack, pagerduty, smtp or apprise; or a trainer: airflow, databricks, github.
        mail
            Of ``smtp``: ``{"from": "me@firm.example", "to": ["ml@firm.example"]}``, and ``user``
            where the server wants one.
        trainer
            What it starts. Of ``airflow``: ``{"dag": "retrain_flights", "user": "driftline"}``
            and ``airflow`` (``"2"`` or ``"3"``) where it is not to be found out; of
            ``databricks``: ``{"job": 11223344}`` and ``parameters``; of ``github``:
            ``{"repository": "acme/models"}`` and ``event``.

        Raises
        ------
        ApiConflict
            The name belongs to another address, or the endpoint has another secret than this.
        ApiError
            The name, the address or the secret cannot be.
        """
        if kind != "webhook" or trainer is not None:
            asked: dict[str, Any] = {
                "name": name, "url": url, "secret": secret, "kind": kind, "mail": mail,
            }  # fmt: skip
            if trainer is not None:
                asked[kind] = trainer
            return self._told("endpoints", {k: v for k, v in asked.items() if v is not None})
        # Made here, a lost answer can be asked for again: the server then knows it already.
        used = new_secret() if secret is None else secret
        told = self._told("endpoints", {"name": name, "url": url, "secret": used})
        is_ours = told.fingerprint == fingerprint(used)
        if secret is not None and not is_ours:
            raise ApiConflict(
                409, f"endpoint {name} has another secret",
                f"its fingerprint is {told.fingerprint}, this one's {fingerprint(used)}: "
                "rotate_endpoint replaces it",
            )  # fmt: skip
        return replace(told, secret=used if is_ours else None)

    def test_endpoint(self, name: str, *, timeout_s: float = 30.0) -> answers.DeliveryDetail:
        """Send a test to an endpoint, and return what became of it; it is tried once.

        Raises
        ------
        ApiConflict
            The endpoint is disabled.
        ApiError
            Nothing was sent within `timeout_s`: is `driftline deliver` running?
        """
        begun = self._call("POST", f"/api/v1/endpoints/{_escaped(name)}/test")
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = self.delivery(begun["id"])
            if found.state != "pending":
                return found
            if time.monotonic() > deadline_s:
                raise ApiError(
                    0, f"the test waits since {timeout_s:g} s",
                    f"start `{command('deliver')}`, or look at it later: delivery {found.id}",
                )  # fmt: skip
            time.sleep(0.1)

    def rotate_endpoint(
        self, name: str, *, secret: str | None = None, overlap_s: int = 86_400
    ) -> answers.NewEndpoint:
        """Replace an endpoint's secret; the one before signs for `overlap_s` more, too."""
        kind = "webhook" if secret is None else self.endpoint(name).kind
        used = new_secret() if secret is None else secret
        told = self._told(
            f"endpoints/{_escaped(name)}/rotate", {"secret": used, "overlap_s": overlap_s}
        )
        return replace(told, secret=used) if kind == "webhook" else told

    def disable_endpoint(self, name: str, reason: str = "disabled by hand") -> answers.Endpoint:
        """Send nothing there for now: what waits keeps waiting, what comes is not kept for it."""
        path = f"/api/v1/endpoints/{_escaped(name)}/disable"
        found = self._call("POST", path, content=msgspec.json.encode({"reason": reason}))
        return _typed(found, answers.Endpoint)

    def enable_endpoint(self, name: str) -> answers.Endpoint:
        """Send there again: what has waited, and what is decided from now on."""
        found = self._call("POST", f"/api/v1/endpoints/{_escaped(name)}/enable")
        return _typed(found, answers.Endpoint)

    def remove_endpoint(self, name: str) -> int:
        """Send nothing there any more; return how many messages waited and are cancelled."""
        return int(self._call("DELETE", f"/api/v1/endpoints/{_escaped(name)}")["cancelled"])

    def deliveries(
        self,
        endpoint: str | None = None,
        *,
        state: str | None = None,
        alert_id: str | None = None,
        limit: int | None = None,
    ) -> Iterator[answers.Delivery]:
        """Yield what was sent, waits or was given up, the last decided first.

        `state` is pending, delivered, dead or cancelled.
        """
        return self._pages(
            answers.Delivery, "deliveries", limit, endpoint=endpoint, state=state,
            alert_id=alert_id,
        )  # fmt: skip

    def delivery(self, id: int) -> answers.DeliveryDetail:
        """Return one delivery with its body and every attempt."""
        return self._one(answers.DeliveryDetail, f"deliveries/{int(id)}")

    def redeliver(self, id: int) -> answers.DeliveryDetail:
        """Send one message again, from now on as if it were new; one that waits is tried now.

        It is the same message: its ``webhook-id`` and body stay, so a receiver that has it already
        does nothing.

        Raises
        ------
        ApiConflict
            It is a test, was cancelled, or its endpoint is removed.
        """
        found = self._call("POST", f"/api/v1/deliveries/{int(id)}/redeliver")
        return _typed(found, answers.DeliveryDetail)

    def redeliver_all(
        self,
        endpoint: str | None = None,
        *,
        state: str = "dead",
        alert_id: str | None = None,
        type: str | None = None,
        first: int | None = None,
        last: int | None = None,
        start: When = None,
        end: When = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> list[int]:
        """Send messages again that were given up (or delivered); return their numbers.

        What is given must all hold. Of one alert they go out in their order.

        Parameters
        ----------
        state
            dead or delivered.
        type
            Such as ``drift.detected``.
        first, last
            A range of deliveries by number, both included.
        start, end
            When they were decided, `[start, end)`.
        everything
            Every one in that state; needed where nothing else is given.
        dry_run
            Tell which, and send nothing.

        Examples
        --------
        ::

            client.redeliver_all("on-call", start="2025-06-02T00:00:00Z")
        """
        asked: dict[str, Any] = {
            "endpoint": endpoint, "state": state, "alert_id": alert_id, "type": type,
            "first": first, "last": last, **_range(start, end), "all": everything,
            "dry_run": dry_run,
        }  # fmt: skip
        body = {k: v for k, v in asked.items() if v is not None and v is not False}
        ids: list[int] = []
        while True:
            content = msgspec.json.encode(body)
            found = self._call("POST", "/api/v1/deliveries/redeliver", content=content)
            ids += found["ids"]
            if not found["more"] or not found["ids"]:
                return ids
            body["first"] = ids[-1] + 1

    def routes(self, model: str | None = None) -> list[answers.Route]:
        """Return which messages go where, by model and name; a model without any sends all."""
        asked = {} if model is None else {"model": model}
        found: list[answers.Route] = []
        while True:
            page = self._call("GET", "/api/v1/routes", params=asked)
            found += _typed(page["items"], list[answers.Route])
            if page["next"] is None:
                return found
            asked["cursor"] = page["next"]

    def set_route(
        self,
        model: str,
        name: str,
        endpoints: Sequence[str],
        *,
        events: Sequence[str] = ("*",),
        severity: str = "warning",
        quiet: str | None = None,
        timezone: str | None = None,
        repeat_hours: int | None = None,
    ) -> answers.Route:
        """Let messages of a model go to some endpoints from now on.

        From the first route on, what no route takes goes nowhere.

        Parameters
        ----------
        events
            Types such as ``drift.detected``, or the words before their dots; ``*`` is all.
        severity
            From which on: warning or critical.
        quiet
            Hours of each day in which nothing below critical is sent, such as ``22:00-07:00``.
        timezone
            The zone whose clock they go by; the model's unless given.
        repeat_hours
            After so many hours (1 to 720) without another message an alert that still stands, and
            that nobody has acknowledged or silenced, is told again. Never unless given.
        """
        asked = {
            "endpoints": list(endpoints), "events": list(events), "severity": severity,
            "quiet": quiet, "timezone": timezone, "repeat_hours": repeat_hours,
        }  # fmt: skip
        body = {k: v for k, v in asked.items() if v is not None}
        path = f"/api/v1/models/{_escaped(model)}/routes/{_escaped(name)}"
        return _typed(self._call("PUT", path, content=msgspec.json.encode(body)), answers.Route)

    def remove_route(self, model: str, name: str) -> None:
        """Remove a route; without any, all messages go to every endpoint again."""
        self._call("DELETE", f"/api/v1/models/{_escaped(model)}/routes/{_escaped(name)}")

    def service_incidents(
        self, *, only_open: bool = False, limit: int | None = None
    ) -> Iterator[answers.ServiceIncident]:
        """Yield what was wrong with Driftline's own parts, the last opened first."""
        return self._pages(
            answers.ServiceIncident, "service-incidents", limit,
            state="open" if only_open else None,
        )  # fmt: skip

    def _told(self, path: str, body: Mapping[str, Any]) -> answers.NewEndpoint:
        found = self._call("POST", f"/api/v1/{path}", content=msgspec.json.encode(body))
        return _typed(found, answers.NewEndpoint)
