"""Lesions of which a scan shows something, but less than the minimum size: neither new nor resolved."""

from collections.abc import Sequence
from dataclasses import replace

from trialscan.lesions.change import judge
from trialscan.lesions.error import Measured
from trialscan.lesions.findings import Lesion
from trialscan.lesions.history import Change
from trialscan.lesions.placement import PlacedVisit
from trialscan.lesions.rows import Call
from trialscan.study.sections import LesionSettings


def trace_of(lesion: Lesion, placed: PlacedVisit, voxels: int) -> Measured:
    """The spots below the minimum size at a lesion's place in another scan, as the lesion they were or became.

    Their share of the organ is not known.
    """
    grid = placed.findings.labels
    volume_ml = area_mm2 = None
    if grid.spacing_known and grid.is_planar:
        area_mm2 = voxels * grid.grid_spacing[0] * grid.grid_spacing[1]
    elif grid.spacing_known:
        volume_ml = voxels * grid.voxel_ml
    trace = replace(
        lesion,
        voxel_count=voxels,
        volume_ml=volume_ml,
        area_mm2=area_mm2,
        organ_percent=None,
        touches_border=False,
    )
    return Measured(trace, placed.facts)


def trace_call(before: Sequence[Measured], after: Sequence[Measured], settings: LesionSettings) -> Call:
    """The call where one side is a trace: growing or shrinking beyond the error of both, else indeterminate."""
    judgement = judge(before, after, settings)
    small = min((*before, *after), key=lambda measured: measured.lesion.voxel_count).lesion
    size = f"{small.voxel_count} pixels" if small.volume_ml is None else f"{small.volume_ml:.2g} ml"
    beyond = judgement.change in {Change.GROWING, Change.SHRINKING}
    change = judgement.change if beyond else Change.INDETERMINATE
    note = f"{size} in spots below the minimum size"
    return Call(change, judgement.percent, note, judgement.probability)
