"""Colours, sizes and paragraph styles of every report; colours are told apart with any kind of colour vision."""

from functools import cache
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm

from trialscan.reports.fonts import BOLD, MONO, REGULAR

INK: Final = "#1b2733"
MUTED: Final = "#5b6875"
RULE: Final = "#c9d1d9"
SHADE: Final = "#f3f6f9"
ACCENT: Final = "#0b4f71"
ALERT: Final = "#a33b00"
ALERT_SHADE: Final = "#fdf1e8"
CALM: Final = "#1e6b4e"
CALM_SHADE: Final = "#edf7f2"
BAND: Final = "#e2ecf5"
ORGAN: Final = "#9fb3c8"

# Okabe and Ito's palette: on dark pictures the bright tones, on white paper the deeper ones.
CLASS_ON_PICTURE: Final = ("#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#009e73")
CLASS_ON_PAPER: Final = ("#0072b2", "#d55e00", "#8a7a00", "#a8487f", "#007a57")
CLASS_DASHES: Final = ((), (3.0, 1.2), (1.0, 1.0), (5.0, 1.5), (3.0, 1.0, 1.0, 1.0))
ARM_COLOURS: Final = ("#0072b2", "#d55e00", "#007a57", "#a8487f", "#8a7a00", "#56b4e9")
ARM_MARKERS: Final = ("o", "s", "^", "D", "v", "P")

PAGE_WIDTH, PAGE_HEIGHT = A4
MARGIN: Final = 17 * mm
CONTENT_WIDTH: Final = PAGE_WIDTH - 2 * MARGIN


def cycle(values: tuple[str, ...], number: int) -> str:
    """The colour or marker for the number-th class or arm (from 0), starting over when they run out."""
    return values[number % len(values)]


@cache
def paragraph_styles() -> dict[str, ParagraphStyle]:
    """Styles by name: title, subtitle, heading, body, small, cell, cell_right, cell_head, mono, alert, caption."""
    body = ParagraphStyle("body", fontName=REGULAR, fontSize=8.6, leading=12, textColor=HexColor(INK))
    cell = ParagraphStyle("cell", body, fontSize=7.2, leading=9.2)
    head = ParagraphStyle("cell_head", cell, fontName=BOLD, textColor=HexColor(ACCENT))
    styles = (
        body,
        cell,
        head,
        ParagraphStyle("title", body, fontName=BOLD, fontSize=16, leading=20, textColor=HexColor(ACCENT)),
        ParagraphStyle("subtitle", body, textColor=HexColor(MUTED)),
        ParagraphStyle(
            "heading",
            body,
            fontName=BOLD,
            fontSize=10.5,
            leading=14,
            textColor=HexColor(ACCENT),
            spaceBefore=9,
            spaceAfter=3,
        ),
        ParagraphStyle("subheading", body, fontName=BOLD, spaceBefore=5, spaceAfter=1),
        ParagraphStyle("lead", body, fontSize=9.6, leading=13.6),
        ParagraphStyle("caption", body, fontSize=7, leading=9, textColor=HexColor(MUTED), spaceBefore=2),
        ParagraphStyle("flag", body, leftIndent=9, bulletIndent=0),
        ParagraphStyle("cell_right", cell, alignment=2),
        ParagraphStyle("cell_head_right", head, alignment=2),
        ParagraphStyle("mono", cell, fontName=MONO, fontSize=6.6),
    )
    return {style.name: style for style in styles}
