"""The colours, once for figures (here) and once for the stylesheet; a test compares the two.

Plotly draws on a canvas and in SVG of its own, so it cannot read CSS variables:
it gets the same values from this table.
"""

from __future__ import annotations

from typing import Literal

Scheme = Literal["light", "dark"]

TOKENS: dict[Scheme, dict[str, str]] = {
    "light": {
        "bg": "#F6F7F9",
        "surface": "#FFFFFF",
        "subtle": "#F1F3F6",
        "hover": "#EEF1F5",
        "border": "#E1E5EB",
        "line": "#7E8898",
        "text": "#14181F",
        "text2": "#474F5C",
        "text3": "#626B79",
        "accent": "#1F5BC4",
        "accent-tint": "#E9F0FC",
        "ok": "#0A6B4F",
        "ok-i": "#0A7C5B",
        "ok-tint": "#E5F4EE",
        "warn": "#855000",
        "warn-i": "#C77700",
        "warn-tint": "#FDF2DD",
        "crit": "#B3261E",
        "crit-i": "#CF3A1B",
        "crit-tint": "#FCEAE6",
        "idle": "#4F5968",
        "idle-tint": "#EEF1F5",
        "cur": "#0072B2",
        "cur-soft": "#A9CDE4",
        "band": "#D5E6F2",
        "ref": "#7F8998",
        "grid": "#E9ECF1",
        "heat0": "#F3F5F8",
        "heat1": "#DFE4EA",
        "heat2": "#F0DA42",
        "heat3": "#8F8A78",
        "heat4": "#00224E",
    },
    "dark": {
        "bg": "#0D1015",
        "surface": "#14181F",
        "subtle": "#1B212A",
        "hover": "#1F2630",
        "border": "#2A313D",
        "line": "#6B7687",
        "text": "#E9ECF1",
        "text2": "#B3BBC8",
        "text3": "#8D97A6",
        "accent": "#84B1FF",
        "accent-tint": "#17263F",
        "ok": "#4CC39A",
        "ok-i": "#3DB88D",
        "ok-tint": "#10261F",
        "warn": "#F0B03F",
        "warn-i": "#E69F00",
        "warn-tint": "#2C2210",
        "crit": "#FF8A70",
        "crit-i": "#FF7A5C",
        "crit-tint": "#331A15",
        "idle": "#A4AEBC",
        "idle-tint": "#1F2630",
        "cur": "#56B4E9",
        "cur-soft": "#2A5874",
        "band": "#1C3648",
        "ref": "#7D8898",
        "grid": "#222933",
        "heat0": "#1A2028",
        "heat1": "#2A323D",
        "heat2": "#4C5A78",
        "heat3": "#C4B56C",
        "heat4": "#FEE838",
    },
}

HEAT = ("heat0", "heat1", "heat2", "heat3", "heat4")
# Upper ends of the first four heat classes, as evidence over limit.
HEAT_LIMITS = (0.5, 1.0, 2.0, 4.0)
HEAT_WORDS = ("< ½", "½–1", "1–2×", "2–4×", "> 4×")
