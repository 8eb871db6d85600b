"""From scene coordinates to the patient's: the identity for volumes, the plane's position for planar images."""

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray

from trialscan.registration.candidate import Candidate, affine_transform, compose, compose_inverse, invert
from trialscan.registration.scene import Scene


def world_transforms(scene: Scene, candidate: Candidate) -> tuple[sitk.CompositeTransform, sitk.CompositeTransform]:
    """The candidate as maps of three-dimensional LPS points, baseline → follow-up and back.

    A planar result acts within the plane only: the distance from it is carried over unchanged.
    """
    matrix = np.eye(4)
    n = scene.dimension
    matrix[:n, :n], matrix[:n, 3] = candidate.matrix, candidate.offset
    whole = scene.moving_frame @ matrix @ np.linalg.inv(scene.fixed_frame)
    affine = affine_transform(whole[:3, :3], whole[:3, 3])
    if candidate.warp is None:
        return compose(affine, None), compose_inverse(affine, None)
    return compose(affine, candidate.warp), compose_inverse(affine, invert(candidate.warp))


def identity_transforms() -> tuple[sitk.CompositeTransform, sitk.CompositeTransform]:
    """Maps that leave every point where it is."""
    affine = affine_transform(np.eye(3), np.zeros(3))
    return compose(affine, None), compose_inverse(affine, None)


def organ_points(scene: Scene, most: int = 20_000) -> NDArray[np.float64]:
    """LPS positions (n, 3) of voxels of the fixed organ, evenly thinned to at most `most`."""
    voxels = np.argwhere(scene.region())[:, ::-1].astype(np.float64)
    voxels = voxels[:: max(1, len(voxels) // most)]
    n = scene.dimension
    axes = np.reshape(scene.fixed.GetDirection(), (n, n)) * np.asarray(scene.fixed.GetSpacing())
    points = np.zeros((len(voxels), 3))
    points[:, :n] = voxels @ axes.T + np.asarray(scene.fixed.GetOrigin())
    world: NDArray[np.float64] = points @ scene.fixed_frame[:3, :3].T + scene.fixed_frame[:3, 3]
    return world
