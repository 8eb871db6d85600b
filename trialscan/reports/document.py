"""The paper every report is printed on: A4, footer on each page, page x of y, the same bytes every time."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate

from trialscan.reports import style
from trialscan.reports.fonts import REGULAR, printable, register_fonts

Story = Callable[[], Sequence[Flowable]]
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


def write_pdf(path: Path, letterhead: Letterhead, story: Story) -> Path:
    """Lay the story out and save it; `story` is called twice, once to count the pages.

    The file carries the data cut-off as its date and an identifier made from its content, so the same content gives
    the same bytes. A file without a cut-off carries the epoch, 1970-01-01, in its properties.
    """
    register_fonts()
    pages = _build(io.BytesIO(), letterhead, story(), total=0)
    buffer = io.BytesIO()
    _build(buffer, letterhead, story(), total=pages)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path


def _build(buffer: io.BytesIO, letterhead: Letterhead, story: Sequence[Flowable], total: int) -> int:
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
        _foot(canvas, letterhead, template.page, total)

    document.addPageTemplates([PageTemplate(id="page", frames=[frame], onPage=on_page)])
    document.build(list(story))
    return int(document.page)


def _foot(canvas: Canvas, letterhead: Letterhead, page: int, total: int) -> None:
    cutoff = letterhead.data_cutoff
    stamp = _UNDATED if cutoff is None else f"D:{cutoff:%Y%m%d}000000Z"
    canvas.setDateFormatter(lambda *_: stamp)
    line = style.MARGIN - 1 * mm
    canvas.saveState()
    canvas.setStrokeColor(HexColor(style.RULE))
    canvas.setLineWidth(0.5)
    canvas.line(style.MARGIN, line, style.PAGE_WIDTH - style.MARGIN, line)
    canvas.setFillColor(HexColor(style.MUTED))
    canvas.setFont(REGULAR, 7)
    canvas.drawString(style.MARGIN, line - 9, _fitted(canvas, letterhead.running, style.CONTENT_WIDTH * 0.56))
    canvas.drawRightString(style.PAGE_WIDTH - style.MARGIN, line - 9, f"page {page} of {total}")
    canvas.setFillColor(HexColor(style.ALERT))
    canvas.drawString(style.MARGIN + style.CONTENT_WIDTH * 0.6, line - 9, printable(letterhead.notice))
    canvas.restoreState()


def _fitted(canvas: Canvas, text: str, width: float) -> str:
    text = printable(text)
    if canvas.stringWidth(text, REGULAR, 7) <= width:
        return text
    while text and canvas.stringWidth(text + "…", REGULAR, 7) > width:
        text = text[:-1]
    return text + "…"
