"""One follow-up aligned to its baseline, from scans and masks to a judged result."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trialscan.errors import RegistrationError
from trialscan.imaging import Volume
from trialscan.registration.alignment import Alignment, AlignmentStatus, map_points
from trialscan.registration.engines import engines_for
from trialscan.registration.frames import identity_transforms, organ_points, world_transforms
from trialscan.registration.ladder import Climb, climb, rungs_for
from trialscan.registration.quality import compared, field_jacobian, warped
from trialscan.registration.resemblance import inside_correlation, mirrored_axis
from trialscan.registration.residual import residual_lengths
from trialscan.registration.scene import Scene, build_scene
from trialscan.registration.sides import MaskedScan
from trialscan.registration.verdict import (
    Fault,
    content_faults,
    content_kind,
    inside_faults,
    judge,
    mirror_faults,
    organ_faults,
)
from trialscan.study.sections import RegistrationLimits, RegistrationSettings

MIRROR_CORRELATION = 0.5
QUALITY_NAMES = (
    "organ_dice_before",
    "organ_dice_after",
    "local_correlation_before",
    "local_correlation_after",
    "jacobian_min",
    "jacobian_p01",
    "jacobian_mean",
    "jacobian_p99",
    "jacobian_max",
    "folding_percent",
    "organ_volume_ratio",
    "inverse_error_mm_p50",
    "inverse_error_mm_p95",
    "forward_backward_mm_p50",
    "forward_backward_mm_p95",
    "overlap_percent",
    "estimated_error_mm_p50",
    "estimated_error_mm_p95",
)


def register(
    fixed: Volume,
    moving: Volume,
    *,
    fixed_mask: Volume | None = None,
    moving_mask: Volume | None = None,
    fixed_lesions: Volume | None = None,
    moving_lesions: Volume | None = None,
    settings: RegistrationSettings,
    device: str = "cpu",
) -> Alignment:
    """Align the follow-up `moving` to the baseline `fixed`.

    Both scans are brought to working grids of `settings.spacing_mm`; given both masks (labels on each scan's own grid,
    any positive one is organ) the rest of the body is left out. Lesions given with either scan, on its own grid, exert
    no force on the alignment and do not count in its quality. Nothing here touches the scans themselves. Scans that
    cannot be aligned give status "fail" with the reason in `notes`, the best map found, and no exception. `device` is
    where the torch engine computes: auto, cpu, cuda or cuda:N; each gives its own bytes.

    Raises
    ------
    RegistrationError
        One image is planar and the other a volume, the two differ in units, or a mask is not on its scan's grid.
    GeometryError
        A scan's axes are sheared.
    """
    baseline, followup = MaskedScan(fixed, fixed_mask, fixed_lesions), MaskedScan(moving, moving_mask, moving_lesions)
    _check_pair(baseline, followup)
    if settings.method == "none":
        return _unregistered(AlignmentStatus.PASS, ())
    fault = _unusable("baseline", baseline) or _unusable("follow-up", followup)
    if fault:
        return _unregistered(AlignmentStatus.FAIL, (fault,))
    if fixed.same_grid(moving, tolerance_mm=0.0) and np.array_equal(fixed.array, moving.array):
        return _unregistered(AlignmentStatus.REVIEW, ("the follow-up is the baseline's very image",))
    scene = build_scene(baseline, followup, settings.spacing_mm)
    rungs = rungs_for(settings, scene)
    top = climb(scene, rungs, engines_for(scene, rungs, settings, device), settings.limits.max_folding_percent)
    found = _alignment(scene, top, moving, _volume_ratio(fixed_mask, moving_mask), settings)
    if not settings.check_backwards or scene.scale_free:
        return found
    back = register(
        moving,
        fixed,
        fixed_mask=moving_mask,
        moving_mask=fixed_mask,
        fixed_lesions=moving_lesions,
        moving_lesions=fixed_lesions,
        settings=settings.model_copy(update={"check_backwards": False}),
        device=device,
    )
    return replace(found, quality={**found.quality, **_forward_backward(scene, found, back)})


def _alignment(
    scene: Scene, top: Climb, moving: Volume, volume_ratio: float | None, settings: RegistrationSettings
) -> Alignment:
    transform, inverse = world_transforms(scene, top.best)
    points = organ_points(scene)
    there = map_points(transform, points)
    back = np.linalg.norm(map_points(inverse, there) - points, axis=1)
    within = top.best.transform()
    residual = residual_lengths(scene, warped(scene, within), compared(scene, within))
    quality: dict[str, float | None] = dict.fromkeys(QUALITY_NAMES)
    quality |= {
        "organ_dice_before": top.before.organ_dice,
        "organ_dice_after": top.scores.organ_dice,
        "local_correlation_before": top.before.correlation,
        "local_correlation_after": top.scores.correlation,
        "folding_percent": top.scores.folding_percent,
        "organ_volume_ratio": volume_ratio,
        "overlap_percent": _overlap_percent(there, moving),
        **_jacobians(scene, top),
    }
    if not scene.scale_free:
        quality |= {**_errors("inverse", back), **_errors("estimated", residual)}
    status, notes = judge(_faults(scene, top, quality, residual, settings.limits))
    return Alignment(status, top.rung, top.engine, quality, top.rungs, transform, inverse, notes)


def _faults(
    scene: Scene,
    top: Climb,
    quality: Mapping[str, float | None],
    residual: NDArray[np.float64] | None,
    limits: RegistrationLimits,
) -> list[Fault]:
    """All that speaks against an alignment; the costly search for mirroring only where its content is in doubt."""
    planar, deformed = scene.dimension == 2, top.rung == "deformable"
    kind = content_kind(masked=scene.fixed_mask is not None, deformed=deformed)
    voxels = None if residual is None else float(np.median(residual)) / min(scene.fixed.GetSpacing())
    content = [] if planar else content_faults(top.scores.correlation, voxels, kind, limits)
    doubtful = planar or bool(content) or top.scores.correlation < MIRROR_CORRELATION
    mirrored = mirror_faults(mirrored_axis(scene) if doubtful else None)
    within: list[Fault] = []
    if scene.fixed_mask is None and not content:
        within = inside_faults(inside_correlation(scene, top.best), shaded=scene.shaded)
    return [*mirrored, *organ_faults(quality, limits, deformed=deformed), *content, *within]


def _check_pair(baseline: MaskedScan, followup: MaskedScan) -> None:
    fixed, moving = baseline.image, followup.image
    kinds = ["a planar image" if volume.is_planar else "a volume" for volume in (fixed, moving)]
    if kinds[0] != kinds[1]:
        raise RegistrationError(
            "registration",
            f"the baseline is {kinds[0]} of shape {fixed.shape}, the follow-up {kinds[1]} of shape {moving.shape}",
            "two planar images or two volumes",
        )
    if fixed.units is not moving.units:
        raise RegistrationError(
            "registration", f"baseline in {fixed.units}, follow-up in {moving.units}", "the same units"
        )
    for name, scan in (("baseline", baseline), ("follow-up", followup)):
        for kind, mask in (("organ", scan.organ), ("lesion", scan.lesions)):
            if mask is not None and not mask.same_grid(scan.image):
                raise RegistrationError(
                    f"{kind} mask of the {name}",
                    f"a mask of shape {mask.shape} on another grid",
                    f"the scan's grid, shape {scan.image.shape}",
                    "Segment the scan on its own grid.",
                )


def _unusable(name: str, scan: MaskedScan) -> str:
    """Why nothing can be aligned; empty when it can."""
    if scan.organ is not None and not (scan.organ.array > 0).any():
        return f"the organ mask of the {name} is empty"
    array = scan.image.array
    numbers = array if scan.organ is None else array[scan.organ.array > 0]
    finite = numbers[np.isfinite(numbers)]
    return f"the {name} holds no contrast" if finite.size == 0 or finite.min() == finite.max() else ""


def _unregistered(status: AlignmentStatus, notes: tuple[str, ...]) -> Alignment:
    transform, inverse = identity_transforms()
    return Alignment(status, "none", "none", dict.fromkeys(QUALITY_NAMES), (), transform, inverse, notes)


def _volume_ratio(fixed_mask: Volume | None, moving_mask: Volume | None) -> float | None:
    """Organ volume (area of planar ones) of the follow-up over the baseline's; None without masks or millimetres."""
    if fixed_mask is None or moving_mask is None or not (fixed_mask.spacing_known and moving_mask.spacing_known):
        return None
    first, second = (
        int((mask.array > 0).sum()) * float(np.prod(mask.grid_spacing)) for mask in (fixed_mask, moving_mask)
    )
    return second / first


def _jacobians(scene: Scene, top: Climb) -> Mapping[str, float]:
    """Local volume change baseline → follow-up inside the organ, the affine part included."""
    determinant = float(np.linalg.det(top.best.matrix)) * field_jacobian(top.best.warp, scene)
    low, high = np.percentile(determinant, [1, 99])
    return {
        "jacobian_min": float(determinant.min()),
        "jacobian_p01": float(low),
        "jacobian_mean": float(determinant.mean()),
        "jacobian_p99": float(high),
        "jacobian_max": float(determinant.max()),
    }


def _errors(name: str, lengths: NDArray[np.float64] | None) -> Mapping[str, float | None]:
    values = (None, None) if lengths is None else np.percentile(lengths, [50, 95]).tolist()
    return dict(zip((f"{name}_error_mm_p50", f"{name}_error_mm_p95"), values, strict=True))


def _forward_backward(scene: Scene, found: Alignment, back: Alignment) -> Mapping[str, float | None]:
    """How far organ points end from where they began after this alignment and the one found the other way.

    Two independent fits seldom agree on a mistake, but both may share one: an estimate, not a bound.
    """
    points = organ_points(scene)
    apart = np.linalg.norm(back.to_followup(found.to_followup(points)) - points, axis=1)
    values = np.percentile(apart, [50, 95]).tolist()
    return dict(zip(("forward_backward_mm_p50", "forward_backward_mm_p95"), values, strict=True))


def _overlap_percent(points: NDArray[np.float64], moving: Volume) -> float:
    """Share of the mapped organ points that lie in the follow-up's field of view."""
    indices = moving.to_index(points)
    inside = ((indices >= -0.5) & (indices <= np.asarray(moving.shape) - 0.5)).all(axis=1)
    return 100.0 * float(inside.mean())
