"""The demo's trainer learns from what was known when it was asked, and from nothing later."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from driftline.webhooks import Alert, new_secret, sign, verify_webhook
from monitor.cli.demo import model, warehouse
from monitor.cli.demo.flights import CATEGORICAL, FEATURES
from monitor.cli.demo.trainer import Office, job_of, request_in
from monitor.detect.retrain_messages import Wish, body_of

AT = pd.Timestamp("2013-04-22T04:00", tz="UTC")
OFFICE = Office(secret=new_secret(), port=1, url="http://there", token=None, folder="/somewhere")


def asked(*, is_dry_run: bool = False, **evidence: Any) -> Alert:
    """A message as the service writes and signs it, verified."""
    said = {"until": "2013-04-22T04:00:00Z", "incidents": [4], **evidence}
    wish = Wish(
        7, "k", "flight-delay", "1", "Drift.", said, 0, 1, "http://x/retrains/7", is_dry_run
    )
    body, now_s = body_of(wish).encode(), int(time.time())
    headers = {
        "webhook-id": "retrain_k",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(OFFICE.secret, "retrain_k", now_s, body),
    }
    return verify_webhook(headers, body, OFFICE.secret)


def test_a_request_is_answered_with_the_next_version_from_all_that_was_known_by_then() -> None:
    request = request_in(asked())
    assert request is not None
    job = job_of(request, OFFICE)
    assert (job.request_id, job.model, job.version, job.replaces) == (7, "flight-delay", "2", "1")
    assert job.at_ms == int(AT.timestamp() * 1_000)


def test_alerts_and_dry_runs_ask_for_nothing() -> None:
    at = datetime(2013, 2, 9, tzinfo=UTC)
    alert = Alert("m", "drift.detected", at, "a", 1, "m", "1", "critical", "Dead.", None, (), {})
    assert request_in(alert) is None
    assert request_in(asked(is_dry_run=True)) is None


def test_a_request_that_does_not_say_until_when_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="until"):
        request_in(asked(until=None))


@pytest.fixture(scope="module")
def flown() -> pd.DataFrame:
    """Flights around the instant: flown and landed, in the air, and to come."""
    times = pd.DatetimeIndex(
        ["2013-01-05T12:00", "2013-04-21T20:00", "2013-04-22T02:30", "2013-04-22T03:59",
         "2013-04-22T04:00", "2013-04-22T09:00"], tz="UTC",
    )  # fmt: skip
    lands = pd.DatetimeIndex(
        ["2013-01-05T14:00", "2013-04-21T23:00", "2013-04-22T04:00", "2013-04-22T06:00",
         "2013-04-22T08:00", "NaT"], tz="UTC",
    )  # fmt: skip
    numbers = {name: np.arange(6.0) for name in FEATURES}
    words = {name: list("aabbcc") for name in CATEGORICAL}
    late = [1.0, 0.0, 1.0, 1.0, 0.0, np.nan]
    return pd.DataFrame(
        {"time": times, **numbers, **words, "late": late, "lands_at": lands.as_unit("ms")}
    )


def test_outcomes_are_those_of_flights_that_had_landed(flown: pd.DataFrame, tmp_path: Path) -> None:
    _, day = model.outcomes(flown)
    warehouse.write(flown, model.numbers(flown), day, tmp_path)
    known = warehouse.known_at(tmp_path, int(AT.timestamp() * 1_000))
    assert known.departed == 4
    assert known.late.tolist()[:3] == [1.0, 0.0, 1.0]
    assert np.isnan(known.late[3:]).all()  # in the air, and to come
    assert known.day.tolist() == [5, 111, 111, 111, 112, 112]  # New York's
    assert known.features.shape == (6, len(FEATURES))
    before = warehouse.departed(tmp_path, 4)
    assert before["time"].tolist() == flown["time"].tolist()[:4]
    assert before[list(FEATURES)].equals(flown[list(FEATURES)][:4])
    assert not {"late", "lands_at"} & set(before.columns)


def test_folds_are_of_whole_days_and_score_what_they_did_not_learn_from() -> None:
    """What a flight's own outcome says is not in its score."""
    rng = np.random.default_rng(3)
    n = 2_000
    day = rng.integers(1, 21, n)
    features = rng.random((n, len(FEATURES)))
    features[:, : len(CATEGORICAL)] = 0
    late = (rng.random(n) < 0.3) * 1.0
    features[:, -1] = day  # the days differ in nothing else
    late[day == 7] = 1.0
    out_of_fold, others = model.train(features, features[day == 7], late, day, 2)
    assert others.mean() > 0.5  # who learnt from that day knows it
    assert out_of_fold[day == 7].mean() < 0.5
    assert out_of_fold.shape == (n,)
    late[day == 7] = np.nan  # not known yet: scored all the same
    out_of_fold, _ = model.train(features, features[:0], late, day, 2)
    assert np.isfinite(out_of_fold).all()
