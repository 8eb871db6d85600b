"""The typeface of every report: DejaVu Sans, embedded, so that the same bytes and glyphs come out everywhere."""

from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib as mpl
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from svglib.fonts import FontMap

REGULAR = "DejaVuSans"
BOLD = "DejaVuSans-Bold"
OBLIQUE = "DejaVuSans-Oblique"
MONO = "DejaVuSansMono"
UNKNOWN_GLYPH = "\N{REPLACEMENT CHARACTER}"


def register_fonts() -> None:
    """Make the typeface known to reportlab; calling it again changes nothing."""
    known = set(pdfmetrics.getRegisteredFontNames())
    for name in (REGULAR, BOLD, OBLIQUE, MONO):
        if name not in known:
            pdfmetrics.registerFont(TTFont(name, str(_font_file(name))))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=OBLIQUE, boldItalic=BOLD)


class EmbeddedFonts(FontMap):  # type: ignore[misc]  # svglib is checked without types
    """Every font that an SVG asks for is DejaVu Sans; the machine's own fonts are never looked up."""

    def find_font(self, font_name: str, weight: str = "normal", style: str = "normal") -> tuple[str, bool]:  # noqa: ARG002 - svglib's signature
        """The embedded face for a weight and style, always exact."""
        if weight in {"bold", "700"}:
            return BOLD, True
        return (OBLIQUE if style in {"italic", "oblique"} else REGULAR), True


def printable(text: str) -> str:
    """The text with every character that the typeface lacks shown as a replacement mark, never silently dropped."""
    glyphs = _glyphs()
    return "".join(char if ord(char) in glyphs and char >= " " else UNKNOWN_GLYPH for char in text)


def markup(text: str) -> str:
    """Plain text made safe for reportlab's paragraph markup."""
    return escape(printable(text))


@cache
def _glyphs() -> frozenset[int]:
    register_fonts()
    return frozenset(pdfmetrics.getFont(REGULAR).face.charToGlyph)


def _font_file(name: str) -> Path:
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
