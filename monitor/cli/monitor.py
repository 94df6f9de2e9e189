"""`driftline monitor`: how a model is judged. Over HTTP, so that it needs the SDK alone."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from driftline.admissible import printable
from driftline.answers import Backtest, FixedLimit, TriedSegment
from driftline.errors import ConfigError
from driftline.stats.lengths import LENGTHS, SPAN, WORDS
from driftline.stats.rule import FIXED
from monitor.cli import access, columns, options
from monitor.cli.connect import Url, connect
from monitor.cli.model import Name

app = typer.Typer(help="How a model is judged.", no_args_is_help=True)

UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Incidents that are listed one by one.
SHOWN: Final = 20
ALL: Final = "all"
_PART: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_WORDS: Final = {
    "lengths": "windows",
    "lateness_ms": "lateness",
    "horizon_ms": "horizon",
    "max_hold_ms": "max hold",
    "profile": "profile",
    "limits": "fixed limits",
}


@app.command()
def show(
    model: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show how a model is judged now."""
    with connect(url, config, token_file) as client:
        found = client.monitor(model)
    if json_:
        options.echo(_json(found))
        return
    options.echo(f"revision {found.revision}, since {found.created:%Y-%m-%d %H:%M} UTC")
    for key, word in _WORDS.items():
        options.echo(f"  {word}: {_text(getattr(found, key))}")
    options.echo(f"  judges: {judged_from(found.lengths, found.after)}")


@app.command("set")
def set_(
    model: Name,
    windows: Annotated[
        str | None, typer.Option(help=f"Lengths, of {','.join(LENGTHS)}; commas between.")
    ] = None,
    lateness: Annotated[
        str | None, typer.Option(help="How long a window waits after its end, such as 30m.")
    ] = None,
    horizon: Annotated[
        str | None, typer.Option(help="How late an event still revises its window, such as 7d.")
    ] = None,
    max_hold: Annotated[
        str | None,
        typer.Option(help="How long a partition without an owner holds windows back."),
    ] = None,
    profile: Annotated[columns.Profile | None, typer.Option(help="How sensitive.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FEATURE:STATISTIC=WARNING[,CRITICAL]",
            help="A fixed limit, such as temp:ks=0.15,0.3 or '*:missing=0.05'; may be repeated. "
            f"Statistics: {', '.join(FIXED)}.",
        ),
    ] = None,
    no_limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FEATURE:STATISTIC",
            help="Remove a fixed limit (all of them: all); may be repeated.",
        ),
    ] = None,
    segments: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="SEGMENT",
            help="Try it in this segment, such as origin=JFK, beside all rows (alone: all); may "
            "be repeated. All segments unless given, the largest where there are very many.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Save without asking.")] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Judge a model otherwise from now on; what is not named stays as it is.

    What was judged before stays as it was judged: the windows of each length are judged so that
    end after the last judged one of that length. A length that is new is judged as far back as
    the horizon reaches. Another profile or another fixed limit is tried on the stored counts
    first: what incidents there would have been, in which segments, is shown before it is saved.
    """
    given = (windows, lateness, horizon, max_hold, profile, limit, no_limit)
    if all(each is None for each in given):
        raise ConfigError(
            "monitor", "command line", "nothing to set",
            "at least one of --windows, --lateness, --horizon, --max-hold, --profile, --limit, "
            "--no-limit",
        )  # fmt: skip
    with connect(url, config, token_file) as client:
        asked: dict[str, Any] = {
            "windows": None if windows is None else lengths("--windows", windows),
            "lateness": duration("--lateness", lateness),
            "horizon": duration("--horizon", horizon),
            "max_hold": duration("--max-hold", max_hold),
            "profile": None if profile is None else profile.value,
        }
        tried = None
        if profile is not None or limit is not None or no_limit is not None:
            now = client.monitor(model)
            if limit is not None or no_limit is not None:
                asked["limits"] = limits_of(now.limits, limit or [], no_limit or [])
            asked["expect_revision"] = now.revision
            tried = client.backtest(
                model,
                windows=asked["windows"],
                profile=asked["profile"],
                limits=asked.get("limits"),
                segments=None if segments is None else [s for s in segments if s != ALL],
            )
            if not json_:
                options.echo("\n".join(tried_lines(tried)))
            if not yes:
                _confirm()
        found = client.set_monitor(model, **asked)
    if json_:
        told = json.loads(_json(found))
        if tried is not None:
            told["backtest"] = json.loads(_json(tried))
        options.echo(json.dumps(told))
        return
    if not found.before:
        options.echo(f"nothing changed: it is so since revision {found.revision}")
        return
    options.echo(f"revision {found.revision}, from now on:")
    for key, before in found.before.items():
        options.echo(
            f"  {_WORDS.get(key, key)}: {_text(getattr(found, key))} (was {_text(before)})"
        )
    options.echo(f"  judges: {judged_from(found.lengths, found.after)}")


@app.command()
def recalibrate(
    model: Name,
    version: Annotated[
        str | None, typer.Option(help="The version; the newest unless given.")
    ] = None,
    length: Annotated[columns.Length | None, typer.Option(help="Only this window length.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only this segment, such as all.")] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Learn anew by how much a model's features wobble, from the last eight complete windows.

    For a change that is here to stay. Lengths that the reference knows learn nothing.
    """
    with connect(url, config, token_file) as client:
        found = client.recalibrate(
            model, version=version, length=None if length is None else length.value, segment=segment
        )
    if json_:
        options.echo(json.dumps([dataclasses.asdict(each) for each in found]))
        return
    for each in found:
        said = f"learnt from {each.windows} windows, revision {each.revision}"
        options.echo(f"{each.segment}, {SPAN[each.length]}: {said if each.is_new else each.why}")


def judged_from(lengths: Sequence[str], after: Mapping[str, datetime]) -> str:
    """From when on each length is judged so, in event time.

    Examples
    --------
    >>> from datetime import UTC
    >>> judged_from(["hour", "week"], {"hour": datetime(2013, 10, 20, 14, tzinfo=UTC)})
    'hours that end after 2013-10-20 14:00 UTC, all weeks'
    """
    said = []
    for length in lengths:
        windows, end = WORDS[length][1], after.get(length)
        if end is None:
            said.append(f"all {windows}")
        else:
            said.append(f"{windows} that end after {end:%Y-%m-%d %H:%M} UTC")
    return ", ".join(said)


def tried_lines(tried: Backtest, *, mend: str = "; --try SEGMENT tries them") -> list[str]:
    """Return what another monitor would have told, beside what was told, in lines.

    `mend` ends the line that says which segments were left out.
    """
    if not tried.windows:
        return [f"{tried.model} {tried.version}: no window is stored yet to try this on"]
    lines = [
        f"{tried.model} {tried.version}, {tried.start:%Y-%m-%d} to {tried.end:%Y-%m-%d}, "
        f"{tried.windows:,} windows judged so:",
        f"  incidents: {_instead(tried.before.incidents, tried.after.incidents, tried.same)}",
    ]
    # Those that change come first, after all rows, which stand before everything.
    over_all, *parts = tried.segments or (TriedSegment(ALL, 0, 0, 0, 0),)
    parts.sort(key=lambda part: part.before == part.after == part.same)
    shown = [over_all, *parts[:SHOWN]]
    width = max(len(_named(part.segment)) for part in shown)
    lines += [
        f"    {_named(part.segment):<{width}}  {_instead(part.before, part.after, part.same)}"
        for part in shown
    ]
    if len(parts) > SHOWN:
        lines.append(f"    {len(parts) - SHOWN} more segments: --json lists them")
    for sign, told in (("-", tried.gone), ("+", tried.new)):
        for each in told[:SHOWN]:
            end = "still open" if each.resolved is None else f"to {each.resolved:%Y-%m-%d}"
            number = "" if each.number is None else f" #{each.number}"
            evidence = ""
            if each.value is not None and each.limit is not None:
                evidence = f", {each.statistic} {each.value:.3g} of {each.limit:.3g}"
            where = "" if each.segment == ALL else f" in {_named(each.segment)}"
            lines.append(
                f"  {sign}{number} {each.feature} {each.kind}{where}, {each.severity}, "
                f"{each.opened:%Y-%m-%d} {end}{evidence}"
            )
        if len(told) > SHOWN:
            lines.append(f"  {sign} {len(told) - SHOWN} more: --json lists them")
    if tried.hours_from is not None:
        lines.append(_hours_said(tried.hours_from))
    if tried.left_out:
        first, *others = tried.left_out
        more = f" and {len(others):,} more" if others else ""
        lines.append(
            f"  not tried: {_named(first)}{more}, as one back-test judges so much at most{mend}"
        )
    return lines


def _hours_said(since: datetime) -> str:
    return (
        f"  hours are tried from {since:%Y-%m-%d %H:%M} UTC on: older ones were added up to days "
        "(retention.hours_days), and what they alone had told counts as gone"
    )


def _instead(before: int, after: int, same: int) -> str:
    return f"{after} instead of {before}, {same} the same"


def _named(segment: str) -> str:
    return "all rows" if segment == ALL else printable(segment)


def _confirm() -> None:
    """Ask whether to save; a script says so with --yes."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "monitor", "command line", "nobody to ask", "--yes, to save it without asking"
        )
    if not typer.confirm("Judge it so from now on?"):
        raise typer.Exit(1)


def limits_of(
    now: Sequence[FixedLimit], given: Sequence[str], removed: Sequence[str]
) -> list[FixedLimit]:
    """Return the fixed limits after some were given and some removed.

    Examples
    --------
    >>> now = [FixedLimit("temp", "ks", 0.2), FixedLimit("*", "missing", 0.05)]
    >>> [str(limit) for limit in limits_of(now, ["temp:ks=0.3"], ["*:missing"])]
    ['temp:ks=0.3']
    >>> limits_of(now, [], ["all"])
    []
    >>> limits_of(now, [], ["temp:psi"])
    Traceback (most recent call last):
    driftline.errors.ConfigError: --no-limit (command line): got 'temp:psi', expected one of \
temp:ks, *:missing, all
    """
    kept = {f"{limit.feature}:{limit.statistic}": limit for limit in now}
    for name in removed:
        if name == "all":
            kept.clear()
        elif kept.pop(name, None) is None:
            known = [f"{limit.feature}:{limit.statistic}" for limit in now]
            expected = "a fixed limit that is set, and none is"
            if known:
                expected = f"one of {', '.join([*known, 'all'])}"
            raise ConfigError("--no-limit", "command line", name, expected)
    for text in given:
        try:
            limit = FixedLimit.parse(text)
        except ValueError:
            raise ConfigError(
                "--limit", "command line", text,
                "feature:statistic=warning or feature:statistic=warning,critical",
            ) from None  # fmt: skip
        kept[f"{limit.feature}:{limit.statistic}"] = limit
    return list(kept.values())


def lengths(name: str, text: str) -> list[str]:
    """Window lengths with commas between.

    Examples
    --------
    >>> lengths("--windows", "hour, 4weeks")
    ['hour', '4weeks']
    >>> lengths("--windows", "hour,month")
    Traceback (most recent call last):
    driftline.errors.ConfigError: --windows (command line): got 'month', expected one of hour, \
day, week, 4weeks
    """
    named = [word.strip() for word in text.split(",")]
    for word in named:
        if word not in LENGTHS:
            raise ConfigError(name, "command line", word, f"one of {', '.join(LENGTHS)}")
    return named


def duration(name: str, text: str | None) -> timedelta | None:
    """A length of time as people write it.

    Examples
    --------
    >>> duration("--lateness", "1h30m"), duration("--horizon", None)
    (datetime.timedelta(seconds=5400), None)
    >>> duration("--lateness", "soon")
    Traceback (most recent call last):
    driftline.errors.ConfigError: --lateness (command line): got 'soon', expected a time such as \
30m, 7d or 1h30m
    """
    if text is None:
        return None
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ConfigError(name, "command line", text, "a time such as 30m, 7d or 1h30m")
    try:
        return timedelta(milliseconds=sum(int(number) * UNITS_MS[unit] for number, unit in parts))
    except OverflowError:
        raise ConfigError(name, "command line", text, "less than three million years") from None


def _text(value: Any) -> str:
    """A setting as it would be typed.

    Examples
    --------
    >>> _text(5_400_000), _text(["hour", "day"]), _text(0), _text("quiet"), _text(())
    ('1h30m', 'hour,day', '0s', 'quiet', 'none')
    >>> _text([{"feature": "temp", "statistic": "ks", "warning": 0.15, "critical": None}])
    'temp:ks=0.15'
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, int):
        limits = [FixedLimit(**each) if isinstance(each, dict) else each for each in value]
        names = any(isinstance(each, FixedLimit) for each in limits)
        return (" " if names else ",").join(map(str, limits)) or "none"
    parts = []
    for unit, size in sorted(UNITS_MS.items(), key=lambda item: -item[1]):
        count, value = divmod(value, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _json(found: Any) -> str:
    return json.dumps(dataclasses.asdict(found), default=lambda at: at.isoformat())
