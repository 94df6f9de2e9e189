"""The airline's own records of its flights: what a trainer reads, and never Driftline.

Files hold the whole year, as the demo knows it in advance: once as numbers, for the model, and
once as they are, for the reference. What a model may be trained on is what was known at the moment
its training was asked for: no outcome leaves this module before its flight has landed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
_FLIGHTS: Final = "flights.arrow"
_FEATURES: Final = "features.npy"
_TIMES: Final = "times.npy"


@dataclass(frozen=True)
class Known:
    """The year's flights as they were known at an instant, in order of the scheduled departure.

    Attributes
    ----------
    features
        As the model takes them, shape (flights, features), float32.
    departed
        How many had departed by the schedule: the first ones.
    late
        1 or 0; NaN where the flight had not landed by then.
    day
        Local day of the year.
    """

    features: NDArray[np.float32]
    departed: int
    late: Floats
    day: NDArray[np.int64]


def write(frame: pd.DataFrame, features: Floats, day: NDArray[np.int64], folder: Path) -> None:
    """Write the year's flights, in order of the scheduled departure, and their numbers."""
    import pyarrow.feather

    pyarrow.feather.write_feather(frame, str(folder / _FLIGHTS), compression="uncompressed")
    # Half the memory of who trains; the trees' limits are coarser than that.
    np.save(folder / _FEATURES, features.astype(np.float32))
    columns = [_ms(frame["time"]), _ms(frame["lands_at"]), frame["late"].to_numpy(np.float64), day]
    np.save(folder / _TIMES, np.column_stack(columns).astype(np.float64))


def known_at(folder: Path, at_ms: int) -> Known:
    """What was known at an instant, epoch ms."""
    departs, lands, late, day = np.load(folder / _TIMES).T
    return Known(
        features=np.load(folder / _FEATURES, mmap_mode="r"),
        departed=int(np.searchsorted(departs, at_ms)),
        late=np.where(lands <= at_ms, late, np.nan),  # nothing is at most NaN
        day=day.astype(np.int64),
    )


def departed(folder: Path, count: int) -> pd.DataFrame:
    """The first flights of the year as they are; neither outcomes nor landings."""
    import pyarrow as pa

    with pa.memory_map(str(folder / _FLIGHTS)) as file:
        whole: Any = pa.ipc.open_file(file).read_all()
        found: pd.DataFrame = whole.drop_columns(["late", "lands_at"]).slice(0, count).to_pandas()
        return found


def _ms(times: pd.Series[pd.Timestamp]) -> Floats:
    """Epoch ms, NaN where there is none."""
    found = times.to_numpy("datetime64[ms]")
    return np.where(np.isnat(found), np.nan, found.astype(np.int64))
