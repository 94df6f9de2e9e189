"""One reference: who it judges, what was said of it, and what it cannot see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import Dash, Input, Output, dcc, html

from dashboard import address, parts
from dashboard import sentences_reference as say
from dashboard.figures.reference import outline
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import asking
from dashboard.words import cut, percent, plural, shown, whole
from driftline.program import command
from monitor.views import reference as view
from monitor.views.profiled import FeatureLine, Sees
from monitor.views.reference import Binding, ReferenceView

# Features on a page of the table: more than most models have.
FEATURES = 60
MAX_SEGMENTS = 60
SORTS = {
    "document": "as registered",
    "name": "name",
    "blind": "blind first",
    "missing": "missing first",
}
# Heads of columns that need an explanation, by the word that has it.
EXPLAINED = {
    "Natural wobble": "natural wobble",
    "Blind": "blind",
    "Too few values": "too few rows",
    "Groups": "group",
}

SLOTS = {
    "title": ("reference-title", "children"),
    "tags": ("reference-tags", "children"),
    "controls": ("reference-controls", "children"),
    "verdict": ("reference-verdict", "children"),
    "kpis": ("reference-kpis", "children"),
    "lineage": ("reference-lineage", "children"),
    "warnings": ("reference-warnings", "children"),
    "rule": ("reference-rule", "children"),
    "lengths": ("reference-lengths", "children"),
    "features_aside": ("reference-features-aside", "children"),
    "sort": ("reference-sort", "children"),
    "features_head": ("reference-head", "children"),
    "features": ("reference-data", "data"),
    "features_note": ("reference-note", "children"),
    "segments": ("reference-segments", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        html.Div(
            [
                html.Div(
                    [
                        html.H1("Reference", id="reference-title"),
                        html.Div(id="reference-tags", className="tags"),
                    ],
                    className="title",
                ),
                html.Div(id="reference-controls", className="controls"),
            ],
            className="scope",
        ),
        html.Div(parts.skeleton(2), id="reference-verdict", role="status"),
        html.Div(parts.skeleton(2), id="reference-kpis", className="kpis"),
        html.Div(
            [
                parts.card("Lineage", html.Div(parts.skeleton(2), id="reference-lineage")),
                parts.card(
                    "Said at registration", html.Div(parts.skeleton(2), id="reference-warnings")
                ),
            ],
            className="reference-pair",
        ),
        parts.card(
            "What each length sees",
            html.Div(parts.skeleton(3), id="reference-lengths"),
            # The heads of its table are not there on a phone.
            aside=[
                "how a window of the usual size is judged where it is ",
                parts.term("calibrated"),
                " and not ",
                parts.term("blind"),
                html.Span(id="reference-rule"),
            ],
        ),
        parts.card(
            "Features",
            [
                html.Table(
                    [
                        html.Thead(html.Tr(id="reference-head")),
                        html.Tbody(id="reference-rows"),
                    ],
                    className="table features",
                ),
                html.Div(parts.skeleton(6), id="reference-note"),
                dcc.Store(id="reference-data"),
            ],
            aside=html.Span(id="reference-features-aside"),
            head=[
                asking("q", "Search features", "reference-q"),
                html.Div(id="reference-sort"),
            ],
        ),
        parts.card("Segments", html.Div(parts.skeleton(1), id="reference-segments")),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    digest = look.path[1]
    found: ReferenceView = look.cached(("reference", digest), lambda: view.read(look.conn, digest))
    year = datetime.fromtimestamp(look.now_ms / 1000, look.zone).year
    sort = look.asked.choice("sort", tuple(SORTS), "document")
    text = look.asked.text("q") or ""
    wanted = chosen(found, text, sort)
    pages = max(1, -(-len(wanted) // FEATURES))
    page = look.asked.number("page", 1, pages, 1)
    models = sorted({b.use.model for b in found.bindings})
    return {
        "title": f"Reference {say.short(found.row.digest)}",
        "tags": [
            parts.link(parts.tag(f"{b.use.model} {b.use.version}", 60), address.model(b.use.model))
            for b in found.bindings[:3]
        ]
        or parts.tag("not bound"),
        "controls": [
            parts.link_button("The model", address.model(models[0]), "activity")
            if len(models) == 1 and found.judged is not None and found.judged.archived_ms is None
            else None,
        ],
        "verdict": parts.verdict_card(say.verdict(found)),
        "kpis": parts.kpi_strip(say.kpis(found, year)),
        "lineage": lineage(found, year),
        "warnings": warnings(found),
        "rule": f"; {say.rule_words(found)}",
        "lengths": lengths(found),
        "features_aside": aside(found, wanted, text),
        "sort": parts.select("sort", sort, SORTS, "Sort"),
        "features_head": features_head(found, wanted),
        "features": features(found, wanted, page),
        "features_note": features_note(found, wanted, page, pages, text=text, sort=sort),
        "segments": segments(found),
    }


def lineage(found: ReferenceView, year: int) -> Any:
    """Return who is judged by it, since when, and what it took over from."""
    digest = html.Li(
        [
            html.Span("digest", className="what"),
            html.Code(found.row.digest, className="digest"),
        ]
    )
    rows = [digest, *(_binding(b, year) for b in found.bindings)]
    if not found.bindings:
        rows.append(html.Li([html.Span("bound", className="what"), "to no version"]))
    if found.excluded:
        rows.append(html.Li([html.Span("left out", className="what"), say.excluded_words(found)]))
    rows += [
        html.Li(
            [
                html.Span("replaced", className="what"),
                html.Span(
                    [
                        f"version {cut(use.replaces or '', 40)} by ",
                        parts.link(
                            f"version {cut(use.version, 40)}",
                            address.reference(say.short(use.digest)),
                        ),
                        f" of {cut(use.model, 60)}",
                    ]
                ),
            ]
        )
        for use in found.successors
    ]
    return html.Ul(rows, className="lineage")


def _binding(binding: Binding, year: int) -> Any:
    said: list[Any] = [
        html.B(f"{cut(binding.use.model, 60)} {cut(binding.use.version, 40)}", className="isolate"),
        f" {say.lineage_sentence(binding, year)}.",
    ]
    if binding.replaced is not None:
        short = say.short(binding.replaced)
        said += [" Before it: ", parts.link(html.Code(short), address.reference(short)), "."]
    if binding.replaced_by is not None:
        short = say.short(binding.replaced_by)
        said += [" After it: ", parts.link(html.Code(short), address.reference(short)), "."]
    word = "judges" if binding.is_current else "judged"
    return html.Li([html.Span(word, className="what"), html.Span(said)])


def warnings(found: ReferenceView) -> Any:
    """Return what registering it said, a line each."""
    if not found.row.warnings:
        return parts.nothing("Nothing was odd about its data.", "circle-check")
    return html.Ul(
        [
            html.Li([parts.icon("file-warning"), html.Span(shown(said))])
            for said in found.row.warnings
        ],
        className="said",
    )


def lengths(found: ReferenceView) -> Any:
    """Return the table of lengths."""
    if not found.lengths:
        return parts.nothing("Its document cannot be read.", "file-warning")
    names = ("Length", "Natural wobble", "Usual rows", "Blind", "Too few values", "Judged lately")
    head = [(name, "num" if name == "Usual rows" else "") for name in names]
    rows = []
    for first, *rest in say.length_rows(found):
        cells = [
            html.Td(words, className=css, **{"data-label": label})
            for words, (label, css) in zip(rest, head[1:], strict=True)
        ]
        rows.append(html.Tr([html.Th(first, scope="row"), *cells]))
    return _table(head, rows, "table lengths")


def chosen(found: ReferenceView, text: str, sort: str) -> list[FeatureLine]:
    """Return the features that the search and the order ask for."""
    needle = text.casefold()
    rows = [f for f in found.features if needle in f.name.casefold()]
    if sort == "name":
        rows.sort(key=lambda f: f.name.casefold())
    elif sort == "blind":
        rows.sort(key=lambda f: -sum(limit.sees is Sees.BLIND for limit in f.limits))
    elif sort == "missing":
        rows.sort(key=lambda f: -f.missing)
    return rows


def aside(found: ReferenceView, wanted: list[FeatureLine], text: str) -> Any:
    """Return how many features there are, and how many match."""
    n = plural(len(found.features), "feature")
    if not text:
        return (
            f"{n}; heights are square roots. Limits are of PSI at the usual size; below them the "
            "smallest shift (σ) and rise of missing values (points) that it would show"
        )
    return f"{whole(len(wanted))} of {n} match “{cut(text, 40)}”"


def features_head(found: ReferenceView, wanted: list[FeatureLine]) -> Any:
    """Return the head of the features' table; without a feature there is none."""
    return _heads(_columns(found)) if wanted else []


def _columns(found: ReferenceView) -> list[tuple[str, str]]:
    """Return the columns' names and classes; `assets/reference.js` draws their cells."""
    return [
        ("Feature", ""),
        ("Distribution", ""),
        ("Values", ""),
        ("Groups", "num"),
        ("Missing", "num"),
        *((_limit_column(length.name), "num") for length in found.lengths),
    ]


def _limit_column(length: str) -> str:
    return f"Limit, {say.LENGTHS[length][0]}"


def features(found: ReferenceView, wanted: list[FeatureLine], page: int) -> list[dict[str, Any]]:
    """Return one row a feature: its shape, what it is, and what each length sees of it.

    As data that `assets/reference.js` draws: as components of Dash they are a thousand.
    """
    first = (page - 1) * FEATURES
    return [_feature(found, line) for line in wanted[first : first + FEATURES]]


def features_note(
    found: ReferenceView,
    wanted: list[FeatureLine],
    page: int,
    pages: int,
    *,
    text: str,
    sort: str,
) -> Any:
    """Return what stands below the table: its other pages, or why it is empty."""
    short = say.short(found.row.digest)
    sorted_by = None if sort == "document" else sort
    if not wanted:
        clear = parts.link("Clear the search", address.to("references", short, sort=sorted_by))
        return parts.nothing([f"No feature is called “{cut(text, 60)}”. ", clear], "search")
    if pages == 1:
        return []
    links = [
        parts.link(
            str(n),
            address.to("references", short, q=text or None, sort=sorted_by, page=n),
            className="on" if n == page else "",
        )
        for n in range(1, pages + 1)
    ]
    return html.Nav(links, className="pages", **{"aria-label": "Pages of features"})


def _table(head: Sequence[tuple[str, str]], rows: list[Any], css: str) -> Any:
    """Return a table whose cells carry their column's name, for the cards of a phone."""
    return html.Table([html.Thead(html.Tr(_heads(head))), html.Tbody(rows)], className=css)


def _heads(head: Sequence[tuple[str, str]]) -> list[Any]:
    return [html.Th(_head(name), scope="col", className=kind) for name, kind in head]


def _head(name: str) -> Any:
    return parts.term(name, EXPLAINED[name]) if name in EXPLAINED else name


def _feature(found: ReferenceView, line: FeatureLine) -> dict[str, Any]:
    source = {length.name: length.source for length in found.lengths}
    limits = []
    for limit in line.limits:
        word, sentence = say.limit_words(limit, source[limit.length])
        limits.append(
            {
                "label": _limit_column(limit.length),
                "word": word,
                "shows": say.shows_words(limit),
                "title": sentence,
                "icon": "eye-off" if limit.sees is Sees.BLIND else "",
                "css": "" if limit.sees is Sees.JUDGES else "calm",
            }
        )
    owner = found.judged
    kind = "prediction" if line.is_prediction else say.KINDS.get(line.kind, line.kind)
    weight = f", weight {line.importance:.3g}" if line.importance is not None else ""
    return {
        "name": cut(line.name, 200),
        "title": cut(line.name, 300),
        "href": address.feature(owner.model, line.name)
        if owner is not None and owner.archived_ms is None
        else "",
        "sub": "; ".join(filter(None, (f"{kind}{weight}", say.fixed_words(line)))),
        "said": say.shape_words(line),
        "shape": outline(line.columns)["clipPath"] if line.columns else "",
        "values": say.range_words(line),
        "groups": whole(line.n_groups) if line.n_groups else "–",
        "missing": percent(line.missing) if line.missing else "none",
        "limits": limits,
    }


def register(app: Dash) -> None:
    """The features' rows are drawn in the browser."""
    app.clientside_callback(
        "function (rows) { return window.driftlineReference.rows(rows); }",
        Output("reference-data", "storage_type"),
        Input("reference-data", "data"),
    )


def segments(found: ReferenceView) -> Any:
    """Return the segments, and which have distributions of their own to be judged by."""
    if not found.segments:
        return parts.nothing(
            ["None declared: ", html.Code(command("reference register --segment COLUMN")), " does."]
        )
    rows = [
        html.Li(
            [
                html.Span(cut(segment.name, 80), className="isolate"),
                html.Span(plural(segment.rows, "row"), className="num")
                if segment.rows is not None
                else html.Span("under 1,000 rows: volume and rates only", className="calm"),
            ]
        )
        for segment in found.segments[:MAX_SEGMENTS]
    ]
    if len(found.segments) > MAX_SEGMENTS:
        rows.append(html.Li(f"and {plural(len(found.segments) - MAX_SEGMENTS, 'segment')} more"))
    return html.Ul(rows, className="segment-list")


PAGE = Page(
    name="reference",
    pattern=("references", None),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda parts_: f"Reference {cut(say.short(parts_[1]), 20)}",
    register=register,
)
