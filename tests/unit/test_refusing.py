"""What kafka-python tells its log alone is heard, and the log is left as it was found."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from driftline.refusing import overheard

KAFKA = logging.getLogger("kafka")
DEEP = logging.getLogger("kafka.net.connection")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    level, propagate, handlers = KAFKA.level, KAFKA.propagate, list(KAFKA.handlers)
    yield
    # It ends last: what the tests' own fixtures added is gone.
    assert KAFKA.handlers == handlers
    KAFKA.setLevel(level)
    KAFKA.propagate = propagate


class Reader(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(params=["", "kafka"])
def read(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What somebody else reads, at the root or at the log itself."""
    reader, log = Reader(), logging.getLogger(request.param)
    log.addHandler(reader)
    yield reader.lines
    log.removeHandler(reader)


def fails() -> ConnectionError:
    error = ConnectionError("no")
    DEEP.error("it failed: %s", error)
    return error


@pytest.mark.parametrize("level", [logging.NOTSET, logging.ERROR, logging.CRITICAL])
@pytest.mark.parametrize("is_quiet", [False, True])
def test_errors_are_heard_whatever_the_level_is(level: int, is_quiet: bool) -> None:
    KAFKA.setLevel(level)
    with overheard(is_quiet=is_quiet) as heard:
        error = fails()
    fails()
    assert heard == [error]
    assert (KAFKA.level, KAFKA.propagate) == (level, True)


def test_who_muted_the_log_reads_nothing_of_it(read: list[str]) -> None:
    KAFKA.setLevel(logging.CRITICAL)
    with overheard():
        fails()
    assert read == []
    KAFKA.setLevel(logging.NOTSET)
    with overheard():
        fails()
    assert read == ["it failed: no"]
    with overheard(is_quiet=True):
        fails()
    assert read == ["it failed: no"]
    fails()
    assert len(read) == 2, "it reads again"


def test_two_who_listen_at_once_leave_the_log_as_the_first_found_it() -> None:
    KAFKA.setLevel(logging.CRITICAL)
    first, second = overheard(), overheard(is_quiet=True)
    one = first.__enter__()
    two = second.__enter__()
    first.__exit__(None, None, None)
    error = fails()
    second.__exit__(None, None, None)
    assert (one, two) == ([], [error])
    assert (KAFKA.level, KAFKA.propagate) == (logging.CRITICAL, True)
