"""Colours of figures and pages, and how a drawn figure becomes a file or part of a page. Loads no plotting library."""

import re
from dataclasses import dataclass

from reports.wording.vocabulary import OK, OTHER_429, QUOTA, STARTED, TPS

INK, MUTED, GRID, PAPER = "#1d2733", "#5b6674", "#dde3ea", "#ffffff"
OFFERED = "#2566a8"
LIMIT = "#a3243b"

OUTCOME_COLOURS = {
    STARTED: "#1d7a5a",
    OK: "#1d7a5b",
    TPS: "#c8641b",
    QUOTA: "#7442a8",
    OTHER_429: "#b08900",
    "invalid_request": "#6b7f19",
    "not_found": "#4d7c8a",
    "access_denied": "#8a5a44",
    "service_error": "#b3261e",
    "timeout": "#7d8590",
    "connection_error": "#4a525c",
}

DARK = {
    INK: "#e7ecf2",
    MUTED: "#a2adba",
    GRID: "#323c48",
    PAPER: "#171c23",
    OFFERED: "#79b4f2",
    LIMIT: "#f2788d",
    "#1d7a5a": "#4fc79b",
    "#1d7a5b": "#4fc79c",
    "#c8641b": "#f29c58",
    "#7442a8": "#c49bf0",
    "#b08900": "#e0bd3f",
    "#6b7f19": "#b3c75a",
    "#4d7c8a": "#86b8c6",
    "#8a5a44": "#d0a08a",
    "#b3261e": "#f28b82",
    "#7d8590": "#9aa4b0",
    "#4a525c": "#c0c8d2",
}
"""The colour that stands for each colour of a figure on a dark page."""

FIGURES = (
    *("outcomes", "active-chats", "bucket", "feasible-region", "refused-share", "batches", "volleys", "contrary"),
    *("timeline", "replies", "latency", "varieties", "variety-latency", "lateness"),
)
"""The names of a run's figures, in the order of the page: the files in `figures/` that a report makes, and that the next
report may delete."""


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file name, title, the one sentence that it shows, and a text that replaces it."""

    name: str
    title: str
    sentence: str
    alternative: str
    svg: str
    png: bytes


def standalone_svg(one: Picture) -> str:
    """The figure as a file of its own, on white paper."""
    return re.sub(r"(<svg [^>]*>)", rf'\1<rect width="100%" height="100%" fill="{PAPER}"/>', one.svg, count=1)


def inline_svg(one: Picture) -> str:
    """The figure as part of a page: ids made unique, colours taken from the page's variables (see `page_colours`)."""
    svg = one.svg[one.svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>", "", svg, count=1, flags=re.DOTALL)
    for before in (' id="', "url(#", 'href="#'):
        svg = svg.replace(before, f"{before}{one.name}-")
    svg = re.sub("#[0-9a-f]{6}", lambda found: f"var({_variable(found[0])})" if found[0] in DARK else found[0], svg)
    svg = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1var(--sans)", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def page_colours(dark: bool) -> str:
    """The CSS declarations of the variables that figures use, for a light or a dark page."""
    return " ".join(f"{_variable(light)}: {other if dark else light};" for light, other in DARK.items())


def _variable(colour: str) -> str:
    return f"--c{colour[1:]}"
