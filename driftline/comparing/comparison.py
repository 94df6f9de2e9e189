"""What `compare` returns: rows that print, and the counts behind them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from driftline.comparing.rows import Row
from driftline.errors import DriftlineError
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference

if TYPE_CHECKING:
    import pandas

COLUMNS: Final = tuple(field.name for field in fields(Row))
# Columns that are numbers also where nothing is known.
_FLOATS: Final = tuple(
    field.name for field in fields(Row) if field.type in ("float | None", "int | None")
)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Two frames, feature by feature; iterate over it for the rows, the worst first.

    Attributes
    ----------
    rows
        One for each feature, the prediction included.
    notes
        What the user should know of how it was judged and of the frames.
    length
        The length of the reference's slices that it was judged as: hour, day or week.
    reference
        The counts of the reference with its grids and slices: pass it to `compare` again to
        hold other frames against it; `to_document` and `from_document` keep it.
    current
        The counts of the current frame on the reference's grids. Profiles of one reference
        add up, `to_bytes` and `from_bytes` keep them, and `compare` takes one in place of a
        frame.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    length: str
    reference: Reference
    current: Profile

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, feature: str) -> Row:
        """The row of a feature.

        Raises
        ------
        KeyError
            There is none of this name.
        """
        for row in self.rows:
            if row.feature == feature:
                return row
        raise KeyError(feature)

    @property
    def drifted(self) -> tuple[Row, ...]:
        """The rows whose verdict is warning or critical."""
        return tuple(row for row in self.rows if row.verdict in ("warning", "critical"))

    @property
    def verdict(self) -> str:
        """The worst verdict; one that says nothing was judged only where nothing was."""
        found = {row.verdict for row in self.rows}
        for verdict in ("critical", "warning", "ok", "blind"):
            if verdict in found:
                return verdict
        return "insufficient_data"

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries of plain values, ready for JSON; what is not known is None."""
        made = [asdict(row) for row in self.rows]
        for row in made:
            # JSON knows no tuples, and what was read from it shall be equal.
            for name in ("parts", "groups"):
                row[name] = None if row[name] is None else list(row[name])
        return made

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a data frame.

        Raises
        ------
        DriftlineError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise DriftlineError("to_pandas() needs pandas: pip install pandas") from error
        frame = pd.DataFrame(self.to_dicts(), columns=list(COLUMNS))
        return frame.astype(dict.fromkeys(_FLOATS, "float64"))

    def to_html(self) -> str:
        """A whole page that stands alone: no script, no request to anywhere."""
        from driftline.comparing import page

        return page.whole(self)

    def __repr__(self) -> str:
        from driftline.comparing import text

        return text.table(self, width=shutil.get_terminal_size().columns)

    def _repr_html_(self) -> str:
        from driftline.comparing import page

        return page.fragment(self)
