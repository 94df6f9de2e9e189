"""The incidents of a model in the range that its page shows, as a list."""

from __future__ import annotations

from typing import Any, Final

from dash import html

from dashboard import address, parts
from dashboard import sentences_incidents as incidents
from dashboard import sentences_model as say
from dashboard.look import Look
from dashboard.words import moment, plural
from monitor.views.episodes import Group
from monitor.views.timeline import Timeline

MAX_LISTED: Final = 8


def _groups(found: Timeline) -> list[Group]:
    """Return the incidents that came together as one, open ones first, those of segments after."""

    def rank(one: Group) -> tuple[bool, bool, bool, int]:
        is_here = any(i.segment == found.scope.segment for i in one.members)
        return not one.is_open, not is_here, one.severity != "critical", -one.opened_ms

    return sorted(found.groups, key=rank)


def listed_head(found: Timeline) -> str:
    """Return how many there are, in words; nothing where there is none."""
    groups = _groups(found)
    firing = sum(one.is_open for one in groups)
    return f"{firing} firing, {len(groups) - firing} over in this range" if groups else ""


def listed(look: Look, found: Timeline) -> Any:
    """Return the list, or why it is empty."""
    groups = _groups(found)
    if not groups and not len(found.columns):
        return parts.nothing("Nothing was judged yet.", "hourglass")
    if not groups:
        return parts.nothing("Quiet is good: there was no incident in this range.")
    items = [_group(look, one, found) for one in groups[:MAX_LISTED]]
    if len(groups) > MAX_LISTED:
        href = address.to("incidents", model=found.scope.model.name)
        said = f"{plural(len(groups) - MAX_LISTED, 'more incident')}"
        items.append(html.Li(parts.link(said, href), className="more"))
    return html.Ul(items, className="listed")


def _group(look: Look, one: Group, found: Timeline) -> Any:
    year, mark_ms = say.year_of(found), found.scope.version.watermark_ms
    return html.Li(
        [
            html.Div(parts.status(*incidents.state_word(one)), className="state"),
            html.Div(
                [
                    parts.link(
                        [
                            html.Span(f"#{one.number} ", className="num"),
                            incidents.title(one, say.n_features(found)),
                        ],
                        address.incident(one.number),
                        className="title",
                    ),
                    html.Div(incidents.evidence_line(one), className="sub"),
                ],
                className="sentence",
            ),
            html.Div(
                [
                    html.Div(moment(one.opened_ms, look.zone, year=year)),
                    html.Div(incidents.lasted(one, mark_ms), className="sub"),
                ],
                className="num",
            ),
        ]
    )
