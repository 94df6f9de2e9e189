"""What a reference cannot see, said when it is registered instead of found out a year later."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from driftline.stats.calibration import (
    MIN_ROWS_PSI,
    MIN_SLICES,
    Calibration,
    from_reference,
    leave_one_out_psi,
    observe,
    observed_slices,
)
from driftline.stats.distance import psi_limit
from driftline.stats.evidence import ALPHA, DELTA
from driftline.stats.groups import largest_psi
from driftline.stats.lengths import DEFAULT_LENGTHS
from driftline.stats.reference import Reference
from driftline.stats.season import Season

# A slice this many times as far from the rest as the usual one was no usual day.
ODD_TIMES = 10
# Features and slices named in one sentence.
NAMED = 6


def advice(reference: Reference) -> tuple[str, ...]:
    """Return one sentence for each thing that this reference leaves unjudged or odd.

    Which lengths have to learn their wobble first, which features are blind at
    which length, and which slices are far from all others.
    """
    said = []
    known = {length: from_reference(reference, "all", length) for length in DEFAULT_LENGTHS}
    if reference.first_ms is None:
        said.append(
            "The reference has no times: limits do not know its natural wobble, and nothing is "
            f"told above a warning until {MIN_SLICES} live windows of a length are collected; "
            "pass timestamp= to calibrate it now."
        )
    else:
        for length in DEFAULT_LENGTHS:
            if known[length] is None:
                count = len(reference.slices["all"][length].starts_ms)
                said.append(
                    f"{length.capitalize()} windows wait for {MIN_SLICES} live ones before they "
                    f"are judged: the reference has {count} full {length}"
                    f"{'' if count == 1 else 's'}."
                )
    for length, calibration in known.items():
        if calibration is None:
            continue
        blind = _blind(reference, length, calibration)
        if blind:
            said.append(
                f"Blind at 1 {length}: the natural wobble of {_names(blind)} puts the limit above "
                "the largest PSI possible. The out-of-range rate and longer windows judge "
                f"{'it' if len(blind) == 1 else 'them'}."
            )
    if known["day"] is not None:
        said.extend(_odd_days(reference, known["day"]))
    return tuple(said)


def _blind(reference: Reference, length: str, calibration: Calibration) -> list[str]:
    """Return the features whose limit no window of the usual size can exceed."""
    grids = reference.gridset
    slices = observed_slices(reference, reference.slices["all"][length])
    own = observe(reference, reference.profiles["all"].counts[None, :])
    n = np.median(slices.values, axis=0)[None, :].astype(np.int64)
    most = largest_psi(grids, own.groups, np.maximum(n, 1))[0]
    judged = (n[0] >= MIN_ROWS_PSI) & (grids.B > 1) & ~np.isnan(calibration.tau2)
    blind = []
    for feature in np.flatnonzero(judged):
        v = 1 / n[0, feature] + 1 / max(own.values[0, feature], 1) + calibration.tau2[feature]
        df = float(grids.B[feature] - 1)
        limit = float(np.asarray(psi_limit(v, df, DELTA["warning"], ALPHA)))
        if max(limit, calibration.guard[feature]) >= most[feature]:
            blind.append(grids.features[feature].name)
    return blind


def _odd_days(reference: Reference, calibration: Calibration) -> list[str]:
    slices = reference.slices["all"]["day"]
    observed = observed_slices(reference, slices)
    psi = leave_one_out_psi(reference, observed)
    psi[observed.values < MIN_ROWS_PSI] = np.nan
    # Under a season a Saturday is far from the others as a rule.
    psi[:, calibration.season != Season.NONE] = np.nan
    usual = np.full(psi.shape[1], np.nan)
    enough = (~np.isnan(psi)).sum(axis=0) >= MIN_SLICES
    usual[enough] = np.nanmedian(psi[:, enough], axis=0)
    with np.errstate(invalid="ignore"):
        odd = (psi > ODD_TIMES * usual) & (psi > DELTA["warning"])
    days = np.flatnonzero(odd.any(axis=1))
    if not len(days):
        return []
    names = reference.gridset.names()
    zone = ZoneInfo(reference.timezone)
    told = []
    for day in days[:NAMED]:
        local = datetime.fromtimestamp(slices.starts_ms[day] / 1000, UTC).astimezone(zone)
        features = [names[feature] for feature in np.flatnonzero(odd[day])]
        told.append(f"{local.day} {local:%B} {local.year} ({_names(features)})")
    more = f" and {len(days) - NAMED} more" if len(days) > NAMED else ""
    return [
        f"Odd days in the reference: {', '.join(told)}{more} lie over {ODD_TIMES} times as far "
        "from the others as a usual day. They raise the limits; register without them if they "
        "were no usual days."
    ]


def _names(features: list[str]) -> str:
    shown = ", ".join(features[:NAMED])
    return shown if len(features) <= NAMED else f"{shown} and {len(features) - NAMED} more"
