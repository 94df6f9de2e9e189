"""How sensitive a comparison or a calibration is: the rule, as a user writes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from driftline.answers import FixedLimit as Written
from driftline.errors import StatisticError
from driftline.stats.rule import FixedLimit, Rule


def rule_of(
    profile: str,
    limits: Sequence[Any],
    features: Mapping[str, Collection[str]] | None = None,
) -> Rule:
    """Return the rule of a profile and fixed limits.

    Parameters
    ----------
    limits
        Each a text such as "temp:ks=0.15,0.3" or "*:missing=0.05", or a
        `driftline.answers.FixedLimit`.
    features
        Feature -> its kinds: where they are known, a limit that judges none is refused.

    Raises
    ------
    StatisticError
        Saying what is wrong and what mends it.

    Examples
    --------
    >>> [str(limit) for limit in rule_of("quiet", ["temp:ks=0.15,0.3"]).limits]
    ['temp:ks']
    >>> rule_of("loud", [])
    Traceback (most recent call last):
    driftline.errors.StatisticError: profile 'loud' must be one of quiet, standard, sensitive
    """
    if isinstance(limits, str):
        limits = [limits]
    if not isinstance(limits, Iterable):
        raise StatisticError(
            f"limits: {limits!r} must be a list of texts such as 'temp:ks=0.15'; [] for none"
        )
    return Rule(profile, tuple(map(_limit, limits))).validate(features)


def _limit(given: Any) -> FixedLimit:
    if isinstance(given, str):
        try:
            given = Written.parse(given)
        except ValueError:
            raise StatisticError(
                f"limit {given!r} must be feature:statistic=warning or "
                "feature:statistic=warning,critical, with finite numbers, as in temp:ks=0.15"
            ) from None
    if not isinstance(given, (Written, FixedLimit)):
        raise StatisticError(
            f"limits: {given!r} must be a text such as 'temp:ks=0.15', or a FixedLimit"
        )
    return FixedLimit(given.feature, given.statistic, given.warning, given.critical)
