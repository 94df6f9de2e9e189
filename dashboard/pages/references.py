"""The references: what each model is compared with, since when, and what was odd about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboard import address, commands, parts
from dashboard import grid as grids
from dashboard import sentences_reference as say
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.words import cut, plural, whole, zone_name
from monitor.views import reference as view
from monitor.views.reference import Binding, Line

# Cards of a phone; a grid draws only the rows in view.
MAX_CARDS = 100

SLOTS = {
    "title": ("references-title", "children"),
    "note": ("references-note", "children"),
    "csv": ("references-csv", "children"),
    "rows": ("references-grid", "rowData"),
    "card": ("references-card", "hidden"),
    "cards": ("references-cards", "children"),
}
COLUMNS = (
    grids.column("model", "Model", draw="Two", flex=1.8, least_px=190, sorts_by="title"),
    grids.column("digest", "Reference", draw="Two", flex=1.1, least_px=130, sorts_by="title"),
    grids.column("rows", "Rows", draw="Two", flex=0.8, least_px=90, sorts_by="n"),
    grids.column("slices", "Slices", draw="Two", flex=1.5, least_px=190, sorts_by="n"),
    grids.column("data", "Data", draw="Two", flex=1.4, least_px=160, sorts_by="n"),
    grids.column("since", "Judges since", draw="Two", flex=1.2, least_px=150, sorts_by="n"),
    grids.column(
        "warnings", "Said at registration", draw="Two", flex=2, least_px=180, sorts_by="n"
    ),
)


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        html.Div(
            [
                html.Div(
                    html.H1("References", id="references-title"), className="title", role="status"
                ),
                html.Div(id="references-csv", className="controls"),
            ],
            className="scope",
        ),
        html.Div(id="references-note", className="lead-note"),
        html.Section(
            grids.grid(
                "references-grid",
                COLUMNS,
                label="References",
                row_px=52,
                empty="No reference yet.",
            ),
            id="references-card",
            className="card grid-card",
            hidden=True,
        ),
        html.Div(parts.skeleton(3), id="references-cards", className="reference-cards"),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    model = look.asked.text("model")
    lines = look.cached(("references", model), lambda: view.read_list(look.conn, model=model))
    if model is not None and not lines:
        look.asked.notes.append(
            f"The link asks for model {cut(model, 60)!r}, which no reference judges. Showing all."
        )
        model = None
        lines = look.cached(("references", None), lambda: view.read_list(look.conn))
    year = datetime.fromtimestamp(look.now_ms / 1000, look.zone).year
    models = {line.binding.use.model for line in lines if line.binding is not None}
    note: Any = None
    if not lines:
        note = [
            html.P("A reference is what a model was trained on, as counts; no row is kept."),
            parts.command(
                commands.register(commands.MODEL, commands.VERSION, commands.installation())
            ),
            html.P(commands.COLUMNS),
        ]
    elif model is not None:
        note = html.P(
            [f"Of model {cut(model, 80)}. ", parts.link("Show all", address.to("references"))]
        )
    return {
        "title": say.list_title(len({line.row.digest for line in lines}), len(models)),
        "note": note,
        "csv": parts.csv_link(address.api("references", format="csv")) if lines else None,
        "rows": [] if look.is_narrow else [row(line, year) for line in lines],
        "card": look.is_narrow or not lines,
        "cards": cards(lines, year) if look.is_narrow else None,
    }


def row(line: Line, year: int) -> dict[str, Any]:
    """Return a reference as the grid's row; its values are data, never markup."""
    ref, outline, binding = line.row, line.outline, line.binding
    zone = say.zone_of(outline)
    href = address.reference(say.short(ref.digest))
    found: dict[str, Any] = {
        "id": f"{ref.digest}/{binding.use.version_id if binding else ''}"
        f"/{binding.use.effective_from_ms if binding else ''}",
        "href": href,
        "model": _model(line, href, year),
        "digest": {
            "title": say.short(ref.digest),
            "sub": f"registered {say.day_of(ref.created_ms, year)}",
        },
        "rows": {"title": whole(ref.rows), "sub": "rows", "n": ref.rows},
        "slices": {
            "title": plural(sum(outline.slices.values()), "full slice") if outline else "–",
            "sub": say.slices_words(outline),
            "n": sum(outline.slices.values()) if outline else -1,
        },
        "data": {
            "title": say.data_span(ref, zone),
            "sub": zone_name(zone) if outline else "",
            "n": ref.first_ms if ref.first_ms is not None else -1,
        },
        "since": {
            "title": say.since_words(binding, year, zone),
            "sub": _bound(binding, year),
            "n": binding.use.effective_from_ms if binding else -1,
        },
        "warnings": {
            "title": plural(len(ref.warnings), "warning") if ref.warnings else "nothing odd",
            "sub": cut(" ".join(ref.warnings), 300),
            "n": len(ref.warnings),
        },
    }
    return found


def _bound(binding: Binding | None, year: int) -> str:
    if binding is None:
        return ""
    said = f"bound {say.day_of(binding.use.created_ms, year)}"
    if binding.use.replaces is not None:
        said += f", replaces {cut(binding.use.replaces, 24)}"
    return said


def _model(line: Line, href: str, year: int) -> dict[str, Any]:
    binding = line.binding
    if binding is None:
        return {"title": "not bound", "href": href, "sub": "no version is judged by it"}
    use = binding.use
    if use.archived_ms is not None:
        state = f"archived {say.day_of(use.archived_ms, year)}"
    elif binding.until_ms is not None:
        state = f"replaced by {say.short(binding.replaced_by or '')}"
    elif binding.successor is not None:
        state = say.replaced_words(binding.successor, year)
    else:
        state = "judges it now"
    return {
        "title": cut(use.model, 80),
        "href": href,
        "state": state,
        "version": f"version {cut(use.version, 24)}",
        "sub": f"version {cut(use.version, 24)} · {state}",
    }


def cards(lines: Sequence[Line], year: int) -> list[Any]:
    """Return the same rows as cards."""
    found = []
    for line in lines[:MAX_CARDS]:
        cells = row(line, year)
        facts = [cells["rows"]["title"] + " rows", cells["slices"]["sub"], cells["data"]["title"]]
        found.append(
            parts.link(
                [
                    html.Div(
                        [
                            html.B(cells["model"]["title"], className="isolate"),
                            parts.tag(cells["model"]["version"])
                            if "version" in cells["model"]
                            else None,
                            html.Code(cells["digest"]["title"]),
                        ],
                        className="line",
                    ),
                    html.Div(cells["model"].get("state", cells["model"]["sub"]), className="sub"),
                    html.Div(" · ".join(facts), className="num"),
                    html.Div(cells["warnings"]["sub"], className="sub warnings")
                    if cells["warnings"]["sub"]
                    else None,
                ],
                cells["href"],
                className="card reference-card",
            )
        )
    if len(lines) > MAX_CARDS:
        found.append(html.P(f"and {plural(len(lines) - MAX_CARDS, 'reference')} more"))
    return found


PAGE = Page(
    name="references",
    pattern=("references",),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "References",
)
