"""How a model is judged: the verbs of `driftline.Client` that change a monitor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import msgspec

from driftline import answers
from driftline.calling import Calling
from driftline.reading import When, _escaped, _name, _range, _typed

# A year of a hundred features in a dozen segments, the most that is tried, takes three minutes
# of a core that has nothing else to do.
BACKTEST_S: Final = 600.0


class Setting(Calling):
    """The half of `driftline.Client` that says how a model is judged."""

    def set_monitor(
        self,
        model: str,
        *,
        windows: Sequence[str] | None = None,
        lateness: timedelta | None = None,
        horizon: timedelta | None = None,
        max_hold: timedelta | None = None,
        profile: str | None = None,
        limits: Sequence[answers.FixedLimit | str] | None = None,
        expect_revision: int | None = None,
    ) -> answers.MonitorChange:
        """Judge a model otherwise from now on; what is not given stays as it is.

        What was judged stays: limits and profile hold for the windows of each length that end
        after the last judged one of that length.

        Parameters
        ----------
        windows
            Lengths: of "hour", "day", "week" and "4weeks" (28 days, for models with few rows).
        lateness
            How long a window waits after its end for events that are late.
        horizon
            How late an event still makes a revision of its window.
        max_hold
            How long a partition without an owner holds windows back.
        profile
            "quiet", "standard" or "sensitive".
        limits
            All fixed limits that are to hold, such as ``"temp:ks=0.15,0.3"`` (warning, critical)
            or ``"*:missing=0.05"``; `[]` removes them.
        expect_revision
            Change nothing unless this revision is still in force.

        Returns
        -------
        MonitorChange
            The revision in force; `before` holds what changed, as it was, and `after` where
            the last judged window of each length ends.

        Raises
        ------
        ApiError
            A limit names an unknown feature or statistic, or a value that it cannot have.
        ApiConflict
            Another revision than `expect_revision` is in force.
        ValueError
            A limit is not written as one.
        """
        body = _monitor_body(windows, lateness, horizon, max_hold, profile, limits)
        if expect_revision is not None:
            body["expect_revision"] = expect_revision
        path = f"/api/v1/models/{_escaped(model)}/monitor"
        found = self._call("PUT", path, content=msgspec.json.encode(body))
        return _typed(found, answers.MonitorChange)

    def backtest(
        self,
        model: str,
        *,
        windows: Sequence[str] | None = None,
        profile: str | None = None,
        limits: Sequence[answers.FixedLimit | str] | None = None,
        version: str | int | None = None,
        start: When = None,
        end: When = None,
        segments: Sequence[str] | None = None,
    ) -> answers.Backtest:
        """Return what another monitor would have told of what is stored; nothing is saved.

        The server judges all of it anew, so it waits for up to ten minutes.

        Parameters
        ----------
        windows, profile, limits
            As in `set_monitor`; what is not given is as it is now.
        version
            The newest unless it is given.
        start, end
            Incidents that opened in this range are compared; by default all.
        segments
            Segments that are tried beside all rows; by default all that were judged, the
            largest where a version has very many (`left_out` names the others); `[]` for none.
        """
        body = _monitor_body(windows, None, None, None, profile, limits)
        body |= {"version": _name(version), **_range(start, end)}
        if segments is not None:
            body["segments"] = list(segments)
        path = f"/api/v1/models/{_escaped(model)}/monitor/backtest"
        content = msgspec.json.encode(body)
        found = self._call("POST", path, content=content, patience_s=BACKTEST_S)
        return _typed(found, answers.Backtest)

    def recalibrate(
        self,
        model: str,
        *,
        version: str | int | None = None,
        length: str | None = None,
        segment: str | None = None,
    ) -> list[answers.Learnt]:
        """Let lengths learn their natural wobble anew, from the last eight complete windows.

        For a change that is here to stay. Lengths that the reference knows learn nothing: what
        is said of each is in its `why`. Again without a new window changes nothing.
        """
        body = {"version": _name(version), "length": length, "segment": segment}
        path = f"/api/v1/models/{_escaped(model)}/monitor/recalibrate"
        found = self._call("POST", path, content=msgspec.json.encode(body))
        return _typed(found["items"], list[answers.Learnt])


def _monitor_body(
    windows: Sequence[str] | None,
    lateness: timedelta | None,
    horizon: timedelta | None,
    max_hold: timedelta | None,
    profile: str | None,
    limits: Sequence[answers.FixedLimit | str] | None,
) -> dict[str, Any]:
    """Return what a monitor is asked to become; what is not given is left out."""
    body: dict[str, Any] = {} if windows is None else {"lengths": list(windows)}
    for name, given in (("lateness", lateness), ("horizon", horizon), ("max_hold", max_hold)):
        if given is not None:
            body[f"{name}_ms"] = given // timedelta(milliseconds=1)
    if profile is not None:
        body["profile"] = profile
    if limits is not None:
        read = (answers.FixedLimit.parse(x) if isinstance(x, str) else x for x in limits)
        # JSON has no NaN: as text the server refuses it by name.
        body["limits"] = [
            {name: _number(value) for name, value in asdict(limit).items()} for limit in read
        ]
    return body


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
