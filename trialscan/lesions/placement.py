"""Where a scan's lesions and its field of view lie in the patient's baseline coordinates.

Only points are mapped. Nothing that is counted is ever resampled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from trialscan.imaging import Volume
from trialscan.lesions.error import ScanFacts
from trialscan.lesions.findings import Findings, Lesion
from trialscan.lesions.history import VisitFindings
from trialscan.registration import Alignment

Floats = NDArray[np.float64]

POINTS_PER_LESION = 4000
COVERED_SHARE = 0.95


@dataclass(frozen=True, eq=False)
class Cloud:
    """One lesion as points in baseline LPS.

    Each point stands for a block of voxels, a single one in a small lesion: the mean of their places (`points`, n × 3),
    their count (`weights`), and the radius of a ball as large as a block. `size` is the lesion's own volume on its
    native grid, in mm³ (or cubic pixels).
    """

    points: Floats
    weights: Floats
    radius: float
    size: float
    centroid: tuple[float, float, float]
    tree: KDTree


@dataclass(frozen=True, eq=False)
class PlacedVisit:
    """An aligned visit: its lesions as clouds, what its scan covered, and as points what lay below the minimum
    size (`traces`) and where the model was unsure (`doubts`)."""

    visit: VisitFindings
    findings: Findings
    clouds: tuple[Cloud, ...]
    traces: Floats
    doubts: Floats

    @property
    def facts(self) -> ScanFacts:
        """What decides how well this scan's sizes repeat."""
        return scan_facts(self.findings, self.visit.scanner)

    @property
    def error_mm(self) -> float | None:
        """The 95th percentile of the estimated alignment error; 0 at the baseline, None when not estimated."""
        if self.visit.alignment is None:
            return 0.0
        return self.visit.alignment.quality.get("estimated_error_mm_p95")

    def trace_voxels(self, cloud: Cloud, reach: float) -> int:
        """Voxels of this scan that were outlined within `reach` of `cloud`, but in spots below the minimum size."""
        return _within(cloud, reach, self.traces)

    def doubtful_voxels(self, cloud: Cloud, reach: float) -> int:
        """Voxels of this scan within `reach` of `cloud` in spots where the model was unsure and outlined nothing."""
        return _within(cloud, reach, self.doubts)

    def covers(self, cloud: Cloud, margin: float) -> bool:
        """Whether this scan shows the place of `cloud`: 95 % of it at least `margin` (mm or pixels) inside the field.

        The slice axis of a planar scan does not count.
        """
        grid = self.findings.labels
        points = cloud.points if self.visit.alignment is None else self.visit.alignment.to_followup(cloud.points)
        scanned = 2 if grid.is_planar else 3
        index = grid.to_index(points)[:, :scanned]
        step = margin / np.asarray(grid.grid_spacing[:scanned])
        last = np.asarray(grid.shape[:scanned])
        inside = np.all((index + 0.5 >= step) & (index + 0.5 <= last - step), axis=1)
        return bool(cloud.weights[inside].sum() >= COVERED_SHARE * cloud.weights.sum())


def place(visit: VisitFindings, findings: Findings) -> PlacedVisit:
    """Map the lesions of a visit that is the baseline, or has an alignment to it, to baseline coordinates."""
    clouds = tuple(_cloud(findings.labels, lesion, visit.alignment) for lesion in findings.lesions)
    traces, doubts = (_placed(visit, findings, voxels) for voxels in (findings.dropped, findings.doubtful))
    return PlacedVisit(visit, findings, clouds, traces, doubts)


def _placed(visit: VisitFindings, findings: Findings, voxels: Floats) -> Floats:
    points = findings.labels.to_world(voxels)
    return points if visit.alignment is None or not len(points) else visit.alignment.to_baseline(points)


def _within(cloud: Cloud, reach: float, points: Floats) -> int:
    """How many points lie within `reach` of a cloud."""
    if not len(points):
        return 0
    distances, _ = cloud.tree.query(points, distance_upper_bound=reach + cloud.radius)
    return int(np.isfinite(distances).sum())


def scan_facts(findings: Findings, scanner: str) -> ScanFacts:
    """A scan's slice thickness (its longest voxel edge) and scanner."""
    grid = findings.labels
    measured = grid.spacing_known and not grid.is_planar
    return ScanFacts(max(grid.grid_spacing) if measured else None, scanner)


def _cloud(grid: Volume, lesion: Lesion, alignment: Alignment | None) -> Cloud:
    box = tuple(slice(first, stop) for first, stop in lesion.bounding_box)
    voxels = np.argwhere(grid.array[box] == lesion.number)
    centres, weights = _blocks(voxels, np.asarray(grid.grid_spacing))
    corner = np.asarray([first for first, _ in lesion.bounding_box])
    native = grid.to_world(np.vstack([voxels.mean(axis=0), centres]) + corner)
    placed = native if alignment is None else alignment.to_baseline(native)
    x, y, z = (float(value) for value in placed[0])
    size = len(voxels) * abs(float(np.linalg.det(grid.affine[:3, :3])))
    block = size / len(weights)
    radius = np.sqrt(block / grid.grid_spacing[2] / np.pi) if grid.is_planar else np.cbrt(0.75 * block / np.pi)
    return Cloud(placed[1:], weights, float(radius), size, (x, y, z), KDTree(placed[1:]))


def _blocks(voxels: NDArray[np.int64], spacing: Floats) -> tuple[Floats, Floats]:
    """Group voxels into nearly cubic blocks, about `POINTS_PER_LESION` at most: mean index (n, 3) and voxel count."""
    edge = np.cbrt(len(voxels) * spacing.prod() / POINTS_PER_LESION)
    block = voxels // np.maximum(1, np.rint(edge / spacing).astype(np.int64))
    key = np.ravel_multi_index(tuple(block.T), tuple(block.max(axis=0) + 1))
    _, owner = np.unique(key, return_inverse=True)
    weights = np.bincount(owner).astype(np.float64)
    sums = [np.bincount(owner, weights=voxels[:, axis].astype(np.float64)) for axis in range(3)]
    return np.stack(sums, axis=1) / weights[:, None], weights
