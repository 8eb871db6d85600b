"""ANTs (rigid, affine, SyN) as an engine: one worker process a pair, private files, reproducible to the byte."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import RegistrationError
from trialscan.registration.bridging import over_lesions
from trialscan.registration.candidate import Candidate, settle
from trialscan.registration.scene import Scene

REPRODUCIBLE = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "ANTS_RANDOM_SEED": "20260101"}
_WORKER = "trialscan.registration.ants_worker"
_EXPECTED = "a working installation of antspyx and images that overlap"


class AntsEngine:
    """Runs all rungs in one worker at the first question, since loading ANTs takes longer than an affine fit.

    Each of its rungs starts from its own one before; the first from the best candidate known then.
    """

    name = "ants"

    def __init__(self, rungs: tuple[str, ...]) -> None:
        self.rungs: Sequence[str] = rungs
        self._proposals: dict[str, Candidate] | None = None

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:
        """The worker's result for `rung`.

        Raises
        ------
        RegistrationError
            The worker failed before it came to this rung.
        """
        if self._proposals is None:
            self._proposals = run_worker(scene, tuple(self.rungs), best)
        if rung not in self._proposals:
            raise RegistrationError(rung, "the ANTs worker gave no result", _EXPECTED)
        return self._proposals[rung]


def run_worker(scene: Scene, rungs: tuple[str, ...], start: Candidate) -> dict[str, Candidate]:
    """Run ANTs in a process of its own; returns what it finished, which is less than asked where it failed."""
    with tempfile.TemporaryDirectory(prefix="trialscan-ants-") as name:
        folder = Path(name)
        sitk.WriteImage(scene.fixed, str(folder / "fixed.nii"))
        sitk.WriteImage(scene.moving, str(folder / "moving.nii"))
        sitk.WriteTransform(start.affine(), str(folder / "start.mat"))
        (folder / "job.json").write_text(json.dumps({"stages": rungs, "large": scene.is_large}))
        subprocess.run(  # noqa: S603 - this interpreter, this package, a folder of our own
            [sys.executable, "-m", _WORKER, name],
            env=os.environ | REPRODUCIBLE | {"TMPDIR": name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return {rung: found for rung in rungs if (found := _result(folder, rung, scene)) is not None}


def _result(folder: Path, rung: str, scene: Scene) -> Candidate | None:
    affine, warp = folder / f"{rung}_0GenericAffine.mat", folder / f"{rung}_1Warp.nii.gz"
    if not affine.exists() or (rung == "deformable" and not warp.exists()):
        return None
    linear = Candidate.of(sitk.ReadTransform(str(affine)), scene.dimension)
    if rung != "deformable":
        return linear
    field = sitk.ReadImage(str(warp), sitk.sitkVectorFloat64)
    return Candidate(linear.matrix, linear.offset, settle(over_lesions(scene, linear, field), scene))
