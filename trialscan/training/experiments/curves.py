"""Learning curves: the numbers as CSV, the picture as SVG."""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from trialscan.reports import style
from trialscan.reports.drawing import figure_style, light_grid, new_figure, to_svg


@dataclass(frozen=True)
class CurveRow:
    """An epoch, counted from 1: steps so far, the learning rate after them, the mean loss, and the inner validation."""

    epoch: int
    step: int
    learning_rate: float
    loss: float
    validation_dice: float | None


def curve_csv(rows: Sequence[CurveRow]) -> str:
    """The curve as a table; what was not measured is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in fields(CurveRow)])
    writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)
    return stream.getvalue()


def curve_svg(rows: Sequence[CurveRow], title: str) -> str:
    """Loss and the inner validation's Dice over the epochs."""
    with figure_style():
        figure = new_figure(120.0, 60.0)
        loss = figure.subplots()
        loss.plot([row.epoch for row in rows], [row.loss for row in rows], color=style.ARM_COLOURS[0], label="loss")
        loss.set(xlabel="epoch", ylabel="loss (training patches)", title=title)
        light_grid(loss)
        watched = [(row.epoch, row.validation_dice) for row in rows if row.validation_dice is not None]
        if watched:
            dice = loss.twinx()
            dice.plot(*zip(*watched, strict=True), color=style.ARM_COLOURS[1], linestyle="--")
            dice.set(ylabel="Dice (inner validation, dashed)", ylim=(0, 1))
        return to_svg(figure)
