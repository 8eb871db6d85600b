"""Runs ANTs in a process of its own: `python -m trialscan.registration.ants_worker FOLDER`.

ANTs repeats itself to the byte only with one thread and a seed that stand in the environment before it is loaded;
`ants_engine` starts this module so. FOLDER holds fixed.nii, moving.nii, start.mat and job.json; every stage leaves
`<stage>_0GenericAffine.mat`, the deformable one also `<stage>_1Warp.nii.gz`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ants

LINEAR: dict[str, Any] = {
    "aff_iterations": (100, 50),
    "aff_shrink_factors": (4, 2),
    "aff_smoothing_sigmas": (2, 1),
    "aff_sampling": 32,
    "aff_random_sampling_rate": 0.2,
}
DEFORMABLE: dict[str, Any] = {
    "syn_metric": "CC",
    "syn_sampling": 2,
    "grad_step": 0.2,
    "flow_sigma": 3,
    "total_sigma": 0,
}
ITERATIONS_LARGE = (20, 5, 0)
ITERATIONS_SMALL = (20, 10, 5)
KINDS = {"rigid": "Rigid", "affine": "Affine", "deformable": "SyNOnly"}


def main(folder: Path) -> None:
    """Run the stages that job.json lists, each from the affine result of the one before."""
    fixed, moving = (ants.image_read(str(folder / name)) for name in ("fixed.nii", "moving.nii"))
    job = json.loads((folder / "job.json").read_text())
    deformable = DEFORMABLE | {"reg_iterations": ITERATIONS_LARGE if job["large"] else ITERATIONS_SMALL}
    start = folder / "start.mat"
    for stage in job["stages"]:
        options = deformable if stage == "deformable" else LINEAR
        prefix = str(folder / f"{stage}_")
        ants.registration(fixed, moving, KINDS[stage], initial_transform=str(start), outprefix=prefix, **options)
        start = folder / f"{stage}_0GenericAffine.mat"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
