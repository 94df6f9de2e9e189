"""`driftline replay --what-if`: stored history judged by other limits; nothing is written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from driftline import answers
from driftline.errors import ConfigError, MissingFile, StatisticError
from driftline.stats.lengths import LENGTHS
from driftline.stats.rule import PROFILES, FixedLimit, Rule
from monitor.cli import options
from monitor.cli.monitor import tried_lines

if TYPE_CHECKING:
    from monitor.detect.spec import MonitorSpec
    from monitor.evaluate.backtest import Backtest, Told

KEYS: Final = ("profile", "windows", "limits")


def run(
    file: Path,
    url: str,
    *,
    model: str | None,
    version: str | None,
    from_ms: int | None,
    as_json: bool,
) -> None:
    """Judge what is stored by the limits of `file` and print what that would have told.

    Raises
    ------
    MissingFile, ConfigError
        The file is not there, or a key of it is wrong; or there is no such model.
    StatisticError
        A limit that judges no feature.
    """
    from consumers.replay.scope import Asked, wanted
    from monitor.evaluate.backtest import backtest
    from monitor.storage import engine as storage
    from monitor.storage import registry
    from monitor.storage.engine import reading

    changes = read(file)
    engine = storage.create(url)
    try:
        storage.check_schema(engine)
        known = registry.load(engine)
        found = []
        for bound in wanted(known, Asked(model, version)):
            with reading(engine) as conn:
                spec = changed(
                    registry.monitor_history(conn, bound.version_id).latest.spec, changes
                )
                try:
                    made = backtest(conn, bound, known.references, spec, from_ms=from_ms)
                except StatisticError as error:
                    raise StatisticError(f"{file}, of {bound.model}: {error}") from error
            found.append((bound.model, bound.version, made))
    finally:
        engine.dispose()
    if as_json:
        options.echo(
            json.dumps([{"model": m, "version": v} | asdict(made) for m, v, made in found])
        )
        return
    options.echo("\n".join(line for each in found for line in lines(*each)))


def read(file: Path) -> dict[str, Any]:
    """Return what a file of limits says; what it leaves out is as it is.

    Raises
    ------
    MissingFile
        It is not there.
    ConfigError
        It is no TOML, or keys of it are wrong: each is named.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFile(f"{file} cannot be read: {error}") from None
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("--what-if", str(file), str(error), "a TOML file") from None
    wrong: list[tuple[str, object, str]] = []
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            hint = f"; do you mean {near[0]}?" if near else ""
            wrong.append((key, value, f"one of {', '.join(KEYS)}{hint}"))
        elif key == "profile":
            if value in PROFILES:
                changes["profile"] = value
            else:
                wrong.append((key, value, f"one of {', '.join(PROFILES)}"))
        elif key == "windows":
            if isinstance(value, list) and value and all(each in LENGTHS for each in value):
                changes["lengths"] = tuple(each for each in LENGTHS if each in value)
            else:
                wrong.append((key, value, f"a list of {', '.join(LENGTHS)}"))
        elif not isinstance(value, dict):
            wrong.append((key, value, '[limits] with "feature:statistic" = warning'))
        else:
            changes["limits"] = _limits(value, wrong)
    if not given:
        wrong.append(("", {}, f"at least one of {', '.join(KEYS)}"))
    if len(wrong) == 1:
        key, value, expected = wrong[0]
        raise ConfigError(key or "--what-if", str(file), value, expected)
    if wrong:
        said = "; ".join(f"{key}: {expected}" for key, _, expected in wrong)
        raise ConfigError("--what-if", str(file), [key for key, *_ in wrong], said)
    return changes


def _limits(
    given: Mapping[str, Any], wrong: list[tuple[str, object, str]]
) -> tuple[FixedLimit, ...]:
    found = []
    for name, value in given.items():
        numbers = value if isinstance(value, list) else [value]
        is_numbers = all(
            isinstance(each, (int, float)) and not isinstance(each, bool) for each in numbers
        )
        try:
            if not is_numbers:
                raise ValueError
            limit = answers.FixedLimit.parse(f"{name}={','.join(map(repr, numbers))}")
        except ValueError:
            wrong.append(
                (
                    f"limits.{name}",
                    value,
                    '"feature:statistic" = warning or [warning, critical], such as '
                    '"temp:psi" = [0.2, 0.4]',
                )
            )
            continue
        made = FixedLimit(limit.feature, limit.statistic, limit.warning, limit.critical)
        try:
            Rule("standard", (made,)).validate(None)
        except StatisticError as error:
            wrong.append((f"limits.{name}", value, f"a limit that can judge: {error}"))
            continue
        found.append(made)
    return tuple(found)


def changed(spec: MonitorSpec, changes: Mapping[str, Any]) -> MonitorSpec:
    """Return a monitor as it would be."""
    return replace(spec, **changes)


def lines(model: str, version: str, made: Backtest) -> list[str]:
    """Return what another monitor would have told of a version, beside what was told."""
    if not made.windows:
        return [f"{model} {version}: nothing of it was judged yet"]
    return tried_lines(
        answers.Backtest(
            model=model,
            version=version,
            start=_at(made.from_ms),
            end=_at(made.to_ms),
            windows=made.windows,
            before=answers.Counted(made.before),
            after=answers.Counted(made.after),
            same=made.same,
            gone=tuple(map(_told, made.gone)),
            new=tuple(map(_told, made.new)),
            segments=tuple(answers.TriedSegment(**asdict(part)) for part in made.segments),
            left_out=made.left_out,
            hours_from=None if made.hours_from_ms is None else _at(made.hours_from_ms),
        ),
        mend="",
    )


def _told(told: Told) -> answers.Tried:
    said = asdict(told)
    opened, resolved_ms = _at(said.pop("opened_ms")), said.pop("resolved_ms")
    resolved = None if resolved_ms is None else _at(resolved_ms)
    return answers.Tried(**said, opened=opened, resolved=resolved)


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
