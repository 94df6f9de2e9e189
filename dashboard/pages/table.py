"""Every page, in the order in which addresses are tried."""

from __future__ import annotations

from dashboard.pages import (
    Page,
    deliveries,
    feature,
    first_steps,
    incident,
    incidents,
    model,
    nowhere,
    overview,
    pipeline,
    reference,
    references,
    retrain,
)

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    model.PAGE,
    feature.PAGE,
    incidents.PAGE,
    incident.PAGE,
    pipeline.PAGE,
    deliveries.PAGE,
    references.PAGE,
    reference.PAGE,
    retrain.PAGE,
)
# Shown at "/" while no model is registered.
FIRST_STEPS: Page = first_steps.PAGE
NOWHERE: Page = nowhere.PAGE
