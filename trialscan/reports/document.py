"""The paper every report is printed on: A4, footer on each page, page x of y, the same bytes every time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate

from trialscan.reports import style
from trialscan.reports.fonts import REGULAR, printable, register_fonts

_TOTAL = "total_of_pages"
_SIZE = 7.0
_UNDATED = "D:19700101000000Z"


@dataclass(frozen=True)
class Letterhead:
    """What stands on every page and in the file's properties.

    Parameters
    ----------
    title : the document's title.
    running : one line for the foot of every page: study, patient, version.
    notice : the protocol's notice, such as "Not for diagnosis."
    data_cutoff : the day the report is dated by; None where the protocol sets none.
    """

    title: str
    running: str
    notice: str
    data_cutoff: date | None


class NumberedCanvas(Canvas):  # type: ignore[misc]  # reportlab carries no types
    """A canvas whose pages show how many there are: each draws a form that is defined once the last page is done."""

    def save(self) -> None:
        """Define the form, then write the file."""
        self.beginForm(_TOTAL, 0, 0, 3 * _SIZE, 2 * _SIZE)
        self.setFont(REGULAR, _SIZE)
        self.setFillColor(HexColor(style.MUTED))
        self.drawString(0, _SIZE / 2, str(self.getPageNumber() - 1))
        self.endForm()
        super().save()


def write_pdf(path: Path, letterhead: Letterhead, story: Sequence[Flowable]) -> Path:
    """Lay the story out and save it; the same content gives the same bytes.

    The file carries the data cut-off as its date and an identifier made from its content. Without a cut-off it carries
    the epoch, 1970-01-01, in its properties.
    """
    register_fonts()
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=(style.PAGE_WIDTH, style.PAGE_HEIGHT),
        title=letterhead.title,
        author="trialscan",
        subject=letterhead.running,
        creator="trialscan",
        lang="en",
        invariant=1,
        initialFontName=REGULAR,
    )
    bottom = style.MARGIN + 4 * mm
    height = style.PAGE_HEIGHT - style.MARGIN - bottom
    frame = Frame(style.MARGIN, bottom, style.CONTENT_WIDTH, height, 0, 0, 0, 0)

    def on_page(canvas: Canvas, template: BaseDocTemplate) -> None:
        _foot(canvas, letterhead, template.page)

    document.addPageTemplates([PageTemplate(id="page", frames=[frame], onPage=on_page)])
    document.build(list(story), canvasmaker=NumberedCanvas)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def _foot(canvas: Canvas, letterhead: Letterhead, page: int) -> None:
    cutoff = letterhead.data_cutoff
    stamp = _UNDATED if cutoff is None else f"D:{cutoff:%Y%m%d}000000Z"
    canvas.setDateFormatter(lambda *_: stamp)
    line, right = style.MARGIN - 1 * mm, style.PAGE_WIDTH - style.MARGIN
    canvas.saveState()
    canvas.setStrokeColor(HexColor(style.RULE))
    canvas.setLineWidth(0.5)
    canvas.line(style.MARGIN, line, right, line)
    canvas.setFillColor(HexColor(style.MUTED))
    canvas.setFont(REGULAR, _SIZE)
    canvas.drawString(style.MARGIN, line - 9, _fitted(canvas, letterhead.running, style.CONTENT_WIDTH * 0.46))
    canvas.drawRightString(right - 1.8 * _SIZE, line - 9, f"page {page} of")
    canvas.saveState()
    canvas.translate(right - 1.5 * _SIZE, line - 9 - _SIZE / 2)
    canvas.doForm(_TOTAL)
    canvas.restoreState()
    canvas.setFillColor(HexColor(style.ALERT))
    notice = _fitted(canvas, letterhead.notice, style.CONTENT_WIDTH * 0.36)
    canvas.drawString(style.MARGIN + style.CONTENT_WIDTH * 0.5, line - 9, notice)
    canvas.restoreState()


def _fitted(canvas: Canvas, text: str, width: float) -> str:
    text = printable(text)
    if canvas.stringWidth(text, REGULAR, _SIZE) <= width:
        return text
    while text and canvas.stringWidth(text + "…", REGULAR, _SIZE) > width:
        text = text[:-1]
    return text + "…"
