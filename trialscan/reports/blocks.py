"""The building blocks of both PDFs: headings, boxes, tables with a header on each page, figures with captions."""

from collections.abc import Sequence

from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Table, TableStyle

from trialscan.reports import style
from trialscan.reports.fonts import markup

_PADDING = 3.2


def text(words: str, name: str = "body") -> Paragraph:
    """Plain words as a paragraph in a named style; markup characters in them are shown, not obeyed."""
    return Paragraph(markup(words), style.paragraph_styles()[name])


def rich(markup_text: str, name: str = "body") -> Paragraph:
    """A paragraph of reportlab markup; whatever came from a table must have passed `markup`."""
    return Paragraph(markup_text, style.paragraph_styles()[name])


def heading(title: str, room: float = 42 * mm) -> list[Flowable]:
    """A section's heading; it starts a new page when less than `room` points are left for what follows."""
    return [CondPageBreak(room), text(title, "heading")]


def grid(
    head: Sequence[str],
    rows: Sequence[Sequence[str | Flowable]],
    widths: Sequence[float],
    *,
    right: Sequence[int] = (),
    total: float = style.CONTENT_WIDTH,
) -> Table:
    """A table whose header repeats on each page.

    Parameters
    ----------
    widths : relative column widths.
    right : columns whose cells are set flush right (numbers).
    total : the table's width in points.
    """
    scale = total / sum(widths)
    header = [text(title, "cell_head_right" if index in right else "cell_head") for index, title in enumerate(head)]
    body = [
        [
            text(cell, "cell_right" if index in right else "cell") if isinstance(cell, str) else cell
            for index, cell in enumerate(row)
        ]
        for row in rows
    ]
    table = Table([header, *body], [width * scale for width in widths], repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, 0), 0.9, HexColor(style.ACCENT)),
                ("LINEBELOW", (0, 1), (-1, -1), 0.35, HexColor(style.RULE)),
                ("LEFTPADDING", (0, 0), (-1, -1), _PADDING),
                ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
                ("TOPPADDING", (0, 0), (-1, -1), 2.2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6),
            ]
        )
    )
    return table


def facts(pairs: Sequence[tuple[str, str]], columns: int = 2) -> Table:
    """Names and values side by side in a compact block."""
    rows: list[list[Paragraph | str]] = []
    for start in range(0, len(pairs), columns):
        cells: list[Paragraph | str] = []
        for name, value in pairs[start : start + columns]:
            cells += [text(name, "caption"), text(value, "cell")]
        rows.append(cells + [""] * (2 * columns - len(cells)))
    unit = style.CONTENT_WIDTH / columns
    table = Table(rows, [unit * share for _ in range(columns) for share in (0.28, 0.72)])
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 4),
                ("TOPPADDING", (0, 0), (-1, -1), 0.6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 0.6),
                ("LINEABOVE", (0, 0), (-1, 0), 0.9, HexColor(style.ACCENT)),
                ("LINEBELOW", (0, -1), (-1, -1), 0.35, HexColor(style.RULE)),
            ]
        )
    )
    return table


def box(content: Sequence[Flowable], *, alert: bool) -> Table:
    """A tinted box with a coloured edge; it may break across pages between its paragraphs."""
    edge, shade = (style.ALERT, style.ALERT_SHADE) if alert else (style.CALM, style.CALM_SHADE)
    table = Table([[item] for item in content], [style.CONTENT_WIDTH])
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), HexColor(shade)),
                ("LINEBEFORE", (0, 0), (0, -1), 2.4, HexColor(edge)),
                ("LEFTPADDING", (0, 0), (-1, -1), 8),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
                ("TOPPADDING", (0, 0), (-1, 0), 5),
                ("BOTTOMPADDING", (0, -1), (-1, -1), 6),
            ]
        )
    )
    return table
