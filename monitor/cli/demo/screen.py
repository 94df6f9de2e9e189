"""What the demo shows on a terminal: sentences, one progress bar, and the year's story."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from monitor.cli.demo import result
from monitor.cli.demo.story import tell


class Bar:
    """The bar of the year: event time, predictions counted, incidents so far."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def show(self, seen: result.Progress) -> None:
        """Move to what was seen."""
        date = "2013-02-01"
        if seen.watermark_ms is not None:
            date = f"{datetime.fromtimestamp(seen.watermark_ms / 1_000, UTC):%Y-%m-%d}"
        self._progress.update(
            self._task, completed=seen.predictions, date=date, incidents=seen.incidents
        )


class Screen:
    """Prints to standard output, or to standard error when that is kept for the JSON."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._console = Console(stderr=to_stderr, highlight=False)

    def say(self, sentence: str) -> None:
        """Print one line; it is data, never markup."""
        self._console.print(Text(sentence))

    def note(self, sentence: str) -> None:
        """Print what came in between as one line, cut where a terminal's line ends."""
        cut = Text(sentence, no_wrap=True, overflow="ellipsis")
        self._console.print(cut, soft_wrap=not self._console.is_terminal)

    @contextmanager
    def progress(self, total: int) -> Iterator[Bar]:
        """A bar while the block runs; nothing where there is no terminal."""
        with Progress(
            TextColumn("judged to {task.fields[date]}"),
            BarColumn(),
            TextColumn("{task.completed:,} of {task.total:,} predictions counted"),
            TextColumn("{task.fields[incidents]} incidents"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        ) as progress:
            task = progress.add_task("year", total=total, date="2013-02-01", incidents=0)
            yield Bar(progress, task)

    def tell(self, year: result.Result) -> None:
        """Print the story of the year."""
        for line in tell(year):
            self.say(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._console.show_cursor(True)
