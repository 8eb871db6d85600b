"""Vessels and airways: trees that fill the lung, and the drawing of tubes straight into a scan's grid."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.phantom.deformation import Deformation
from trialscan.phantom.spec import Grid

Points = NDArray[np.float64]
Block = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Tubes:
    """Straight tapering pieces: ends (n, 3) in LPS mm and radii (n,) in mm at both ends."""

    start: Points
    end: Points
    start_radius: NDArray[np.float64]
    end_radius: NDArray[np.float64]

    def moved(self, deformation: Deformation) -> "Tubes":
        """The same tubes from reference to scan coordinates."""
        return Tubes(deformation.to_scan(self.start), deformation.to_scan(self.end), self.start_radius, self.end_radius)

    def thicker(self, millimetres: float) -> "Tubes":
        """The same tubes with a wall of the given thickness around them."""
        return Tubes(self.start, self.end, self.start_radius + millimetres, self.end_radius + millimetres)


def polyline(points: list[tuple[float, float, float]], radii: list[float]) -> Tubes:
    """A tube through the points, cut into pieces short enough to follow a deformation."""
    nodes = np.asarray(points, dtype=np.float64)
    widths = np.asarray(radii, dtype=np.float64)
    place = np.arange(len(points), dtype=np.float64)
    fine = np.linspace(0, len(points) - 1, 4 * (len(points) - 1) + 1)
    track = np.stack([np.interp(fine, place, axis) for axis in nodes.T], axis=1)
    width = np.interp(fine, place, widths)
    return Tubes(track[:-1], track[1:], width[:-1], width[1:])


def join(*parts: Tubes) -> Tubes:
    """All the pieces as one set."""
    return Tubes(
        np.concatenate([p.start for p in parts]),
        np.concatenate([p.end for p in parts]),
        np.concatenate([p.start_radius for p in parts]),
        np.concatenate([p.end_radius for p in parts]),
    )


def grow_tree(root: Points, targets: Points, *, tip_radius: float, murray: float = 2.6, balance: float = 0.35) -> Tubes:
    """Connect every target to the root by a tree that balances wire length against path length.

    Greedy minimum-cost tree of Cuntz et al. (PLoS Comput Biol 2010, e1000877): each point joins where distance plus
    `balance` × path to the root is least. Radii follow Murray's law with exponent `murray` from `tip_radius` upward.
    """
    nodes = np.concatenate([root[None], targets[np.argsort(np.linalg.norm(targets - root, axis=1), kind="stable")]])
    parent = np.zeros(len(nodes), dtype=np.intp)
    path = np.zeros(len(nodes))
    for n in range(1, len(nodes)):
        distance = np.linalg.norm(nodes[:n] - nodes[n], axis=1)
        parent[n] = int(np.argmin(distance + balance * path[:n]))
        path[n] = path[parent[n]] + distance[parent[n]]
    flow = np.full(len(nodes), tip_radius**murray)
    flow[np.bincount(parent[1:], minlength=len(nodes)) > 0] *= 0.1
    for n in range(len(nodes) - 1, 0, -1):
        flow[parent[n]] += flow[n]
    radius = flow ** (1 / murray)
    child = np.arange(1, len(nodes))
    start_radius = np.minimum(radius[parent[child]], 1.35 * radius[child])
    return Tubes(nodes[parent[child]], nodes[child], start_radius, radius[child])


def bend(tubes: Tubes, rng: np.random.Generator, sag: float = 0.10) -> Tubes:
    """Split each piece once and push its middle aside by up to `sag` of its length, so that none runs straight."""
    length = np.linalg.norm(tubes.end - tubes.start, axis=1)
    middle = (tubes.start + tubes.end) / 2 + rng.uniform(-sag, sag, tubes.start.shape) * length[:, None]
    width = (tubes.start_radius + tubes.end_radius) / 2
    return join(
        Tubes(tubes.start, middle, tubes.start_radius, width), Tubes(middle, tubes.end, width, tubes.end_radius)
    )


def _blocks(tubes: Tubes, grid: Grid, reach: float) -> Iterator[tuple[int, Block]]:
    """Index of every tube that touches the grid, with the block of voxels it may touch."""
    spacing, origin = np.asarray(grid.spacing_mm), np.asarray(grid.origin_mm)
    widest = np.maximum(tubes.start_radius, tubes.end_radius)[:, None] + reach
    low = np.ceil((np.minimum(tubes.start, tubes.end) - widest - origin) / spacing).astype(int)
    high = np.floor((np.maximum(tubes.start, tubes.end) + widest - origin) / spacing).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    for n in np.flatnonzero((high > low).all(axis=1)):
        (a, b, c), (d, e, f) = low[n].tolist(), high[n].tolist()
        yield int(n), (slice(a, d), slice(b, e), slice(c, f))


def coverage(tubes: Tubes, grid: Grid) -> NDArray[np.float32]:
    """Share of each voxel filled by the tubes (0 … 1); tubes thinner than a voxel give their share of its section."""
    axes = grid.axes()
    size = float(np.mean(grid.spacing_mm))
    cover = np.zeros(grid.shape, dtype=np.float32)
    direction = tubes.end - tubes.start
    square = np.maximum((direction**2).sum(axis=1), 1e-9)
    for n, (si, sj, sk) in _blocks(tubes, grid, 0.75 * size):
        px = (axes[0][si] - np.float32(tubes.start[n, 0]))[:, None, None]
        py = (axes[1][sj] - np.float32(tubes.start[n, 1]))[None, :, None]
        pz = (axes[2][sk] - np.float32(tubes.start[n, 2]))[None, None, :]
        dx, dy, dz = direction[n].astype(np.float32)
        share = np.clip((px * dx + py * dy + pz * dz) / np.float32(square[n]), 0, 1)
        gap = np.sqrt((px - share * dx) ** 2 + (py - share * dy) ** 2 + (pz - share * dz) ** 2)
        radius = np.float32(tubes.start_radius[n]) + share * np.float32(tubes.end_radius[n] - tubes.start_radius[n])
        inside = np.clip((radius - gap) / np.float32(size) + np.float32(0.5), 0, 1)
        thin = np.minimum(1, np.float32(np.pi) * radius * radius / np.float32(size * size) * 1.6)
        block = cover[si, sj, sk]
        np.maximum(block, inside * np.maximum(thin, inside > 0.95), out=block)
    return cover
