"""A visit's same-slice picture on paper: grey image, vector outlines, orientation letters, scale bar, caption."""

from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from reportlab.lib.colors import HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable

from trialscan.reports import style
from trialscan.reports.fonts import BOLD, REGULAR, printable
from trialscan.reports.panel_files import Panel

_BLACK, _WHITE = HexColor("#000000"), HexColor("#ffffff")
BARS_MM = (50.0, 20.0, 10.0, 5.0, 1.0)


@dataclass(frozen=True)
class _Pen:
    """Colour, width (points) and dashes of an outline."""

    colour: str
    width: float
    dashes: tuple[float, ...]


class PanelPicture(Flowable):  # type: ignore[misc]  # reportlab carries no types
    """Draws a panel, or a box that says why there is none, in a square of a given side (points)."""

    def __init__(self, panel: Panel | None, side: float, absent: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.panel = panel
        self.absent = absent
        self.width = self.height = side

    def draw(self) -> None:
        """Draw at the origin of the canvas that platypus has moved to the place."""
        canvas: Canvas = self.canv
        canvas.saveState()
        if self.panel is None:
            _empty_box(canvas, self.width, self.absent)
        else:
            _picture(canvas, self.panel, self.width)
        canvas.restoreState()


def _picture(canvas: Canvas, panel: Panel, side: float) -> None:
    rows, columns = panel.grey.shape
    scale = side / max(rows, columns)
    left, top = (side - columns * scale) / 2, (side + rows * scale) / 2
    canvas.setFillColor(_BLACK)
    canvas.rect(0, 0, side, side, stroke=0, fill=1)
    reader = ImageReader(Image.fromarray(panel.grey))
    canvas.drawImage(reader, left, top - rows * scale, columns * scale, rows * scale)
    if panel.organ is not None:
        _outline(canvas, panel.organ > 0, scale, (left, top), _Pen(style.ORGAN, 0.45, ()))
    if panel.lesions is not None:
        _class_outlines(canvas, panel.lesions, scale, (left, top))
    _letters(canvas, panel.facts.get("orientation"), side)
    _scale_bar(canvas, panel.facts.get("spacing_mm"), scale, side)


def _class_outlines(canvas: Canvas, classes: NDArray[np.uint8], scale: float, corner: tuple[float, float]) -> None:
    for number in (int(n) for n in np.unique(classes) if n):
        colour = style.cycle(style.CLASS_ON_PICTURE, number - 1)
        dashes = style.CLASS_DASHES[(number - 1) % len(style.CLASS_DASHES)]
        _outline(canvas, classes == number, scale, corner, _Pen(colour, 0.8, dashes))


def _outline(canvas: Canvas, mask: NDArray[np.bool_], scale: float, corner: tuple[float, float], pen: _Pen) -> None:
    framed = np.pad(mask, 1).astype(np.float64)
    canvas.setStrokeColor(HexColor(pen.colour))
    canvas.setLineWidth(pen.width)
    canvas.setLineJoin(1)
    canvas.setDash(list(pen.dashes))
    path = canvas.beginPath()
    for line in contourpy.contour_generator(z=framed).lines(0.5):
        points = (np.asarray(line) - 0.5) * np.array([scale, -scale]) + np.array(corner)
        (start, *rest) = _corners(points).round(2).tolist()
        path.moveTo(*start)
        for point in rest:
            path.lineTo(*point)
        path.close()
    canvas.drawPath(path, stroke=1, fill=0)
    canvas.setDash([])


def _corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points of a closed line at which it turns."""
    ring = points[:-1]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    corners: NDArray[np.float64] = ring[turns]
    return corners


def _letters(canvas: Canvas, letters: dict[str, str] | None, side: float) -> None:
    if letters is None:
        return
    size = 7.0
    places = {
        "left": (5.0, side / 2 - size / 3),
        "right": (side - 5.0, side / 2 - size / 3),
        "top": (side / 2, side - size - 0.5),
        "bottom": (side / 2, 3.0),
    }
    canvas.setFont(BOLD, size)
    for edge, (x, y) in places.items():
        canvas.setFillColor(_BLACK)
        canvas.rect(x - 4, y - 2, 8, size + 2, stroke=0, fill=1)
        canvas.setFillColor(_WHITE)
        canvas.drawCentredString(x, y, printable(letters[edge]))


def _scale_bar(canvas: Canvas, spacing_mm: float | None, scale: float, side: float) -> None:
    if spacing_mm is None:
        return
    bar_mm = next((bar for bar in BARS_MM if bar / spacing_mm * scale <= 0.6 * side), BARS_MM[-1])
    length = bar_mm / spacing_mm * scale
    canvas.setFillColor(_BLACK)
    canvas.rect(side - 6 - max(length, 22), 2.5, max(length, 22) + 4, 11, stroke=0, fill=1)
    canvas.setStrokeColor(_WHITE)
    canvas.setLineWidth(1.4)
    canvas.setLineCap(0)
    canvas.line(side - 4 - length, 5, side - 4, 5)
    canvas.setFont(REGULAR, 5.5)
    canvas.setFillColor(_WHITE)
    canvas.drawRightString(side - 4, 7.5, f"{bar_mm:.0f} mm")


def _empty_box(canvas: Canvas, side: float, words: tuple[str, ...]) -> None:
    canvas.setStrokeColor(HexColor(style.MUTED))
    canvas.setFillColor(HexColor(style.SHADE))
    canvas.setLineWidth(0.6)
    canvas.setDash([3, 2])
    canvas.rect(0.5, 0.5, side - 1, side - 1, stroke=1, fill=1)
    canvas.setFillColor(HexColor(style.MUTED))
    canvas.setFont(REGULAR, 7)
    for index, line in enumerate(words):
        canvas.drawCentredString(side / 2, side / 2 - 9 * index, printable(line))
