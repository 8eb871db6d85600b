"""Alignment beside ANTs' SyN: `python -m tests.benchmarks.registration [--data DIR] [--repeats N] [--part P]`.

Both programs get the same two lung-masked images (the scans of `lung_ct_pair` on their own grids, limited to
-1024 … -200 HU, everything outside the lung set to -200 HU) and take turns in one run, as do trialscan's engines.
ANTs' time is that of `ants.registration` alone, trialscan's that of `register` with all its quality numbers; CPU
seconds beside the clock's, since those do not depend on what else the machine does. Landmark
20 is left out: no method known brings it home (12 mm).
"""

import argparse
import hashlib
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from trialscan.imaging import Units, Volume, affine_from, read_mask, read_volume, resample, to_sitk
from trialscan.phantom import Deformation, simulate_thorax
from trialscan.registration import Alignment, register, write_alignment
from trialscan.study.sections import RegistrationSettings

LOST_LANDMARK = 20
WINDOW_HU = (-1024.0, -200.0)
LARGE_SHAPE = (512, 512, 300)
LARGE_SPACING_MM = (0.7, 0.7, 1.0)
DRAWN_MM = 2.8
Points = NDArray[np.float64]


def main() -> None:
    """Print one line a program: landmark errors, seconds, and for trialscan folding and whether a rerun is the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TRIALSCAN_REAL_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["simpleitk", "torch"])
    parser.add_argument("--part", choices=["lung", "large", "both"], default="both", help="real pair, large pair, both")
    parser.add_argument("--large-of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.large_of:
        _align_stored(Path(given.large_of), given.engines[0])
        return
    if given.part in {"lung", "both"}:
        beside_syn(given.data / "lung_ct_pair", given.engines, given.repeats)
    if given.part in {"large", "both"}:
        large_pair(given.engines)


def beside_syn(folder: Path, engines: Sequence[str], repeats: int) -> None:
    """The lung pair: A B C A B C …, so that a change in the machine's speed meets all alike."""
    scans, masks = _masked_pair(folder)
    table = np.loadtxt(folder / "landmarks_lps_mm.csv", delimiter=",", skiprows=1)
    table = table[table[:, 0] != LOST_LANDMARK]
    programs: dict[str, Callable[[], Callable[[Points], Points]]] = {
        engine: lambda engine=engine: _trialscan(scans, masks, engine) for engine in engines
    }
    programs["antsRegistrationSyNQuick[s]"] = lambda: _syn_quick(scans)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    cpu: dict[str, list[float]] = {name: [] for name in programs}
    errors: dict[str, Points] = {}
    for _ in range(repeats):
        for name, program in programs.items():
            start, used = time.perf_counter(), time.process_time()
            to_followup = program()
            seconds[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - used)
            errors[name] = np.linalg.norm(to_followup(table[:, 1:4]) - table[:, 4:7], axis=1)
    _say(f"{len(table)} landmarks, {LOST_LANDMARK} left out; {repeats} runs each, in turn")
    for name, error in errors.items():
        _say(f"{name}: {_summary(error)} mm; {_median(seconds[name])} s, {_median(cpu[name])} s of CPU")
    for engine in engines:
        _say(f"{engine}: {_check(scans, masks, engine)}")


def _masked_pair(folder: Path) -> tuple[tuple[Volume, Volume], tuple[Volume, Volume]]:
    scans, masks = [], []
    for name in ("baseline", "followup"):
        scan = read_volume(folder / f"{name}.mha", Units.HU)
        mask = read_mask(folder / f"{name}_lung_mask.mha", scan)
        clamped = np.clip(scan.array, *WINDOW_HU)
        scans.append(scan.with_array(np.where(mask.array > 0, clamped, WINDOW_HU[1]).astype(np.float32)))
        masks.append(mask)
    return (scans[0], scans[1]), (masks[0], masks[1])


def _aligned(scans: tuple[Volume, Volume], masks: tuple[Volume, Volume], engine: str) -> Alignment:
    settings = RegistrationSettings.model_validate({"engine": engine})
    return register(scans[0], scans[1], fixed_mask=masks[0], moving_mask=masks[1], settings=settings)


def _trialscan(scans: tuple[Volume, Volume], masks: tuple[Volume, Volume], engine: str) -> Callable[[Points], Points]:
    return _aligned(scans, masks, engine).to_followup


def _syn_quick(scans: tuple[Volume, Volume]) -> Callable[[Points], Points]:
    """ANTs' own recipe, its transforms applied to points as its manual says."""
    import ants  # noqa: PLC0415 - reads its environment when loaded
    import pandas as pd  # noqa: PLC0415 - as its function wants them

    fixed, moving = (ants.from_sitk(to_sitk(scan)) for scan in scans)
    prefix = tempfile.mkdtemp(prefix="syn-quick-") + "/"
    result = ants.registration(fixed, moving, "antsRegistrationSyNQuick[s]", outprefix=prefix)

    def to_followup(points: Points) -> Points:
        frame = pd.DataFrame(points, columns=["x", "y", "z"])
        moved = ants.apply_transforms_to_points(3, frame, result["fwdtransforms"])
        return np.asarray(moved[["x", "y", "z"]], dtype=np.float64)

    return to_followup


def _check(scans: tuple[Volume, Volume], masks: tuple[Volume, Volume], engine: str) -> str:
    """Folding, and whether two runs leave the same bytes."""
    digests = []
    for _ in range(2):
        found = _aligned(scans, masks, engine)
        with tempfile.TemporaryDirectory() as name:
            write_alignment(found, Path(name))
            files = sorted(Path(name).iterdir())
            digests.append(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
    same = "same bytes on a rerun" if digests[0] == digests[1] else "OTHER BYTES ON A RERUN"
    return f"{found.status}, {found.quality['folding_percent']:.3f} % of the lung folds, {same}"


def large_pair(engines: Sequence[str]) -> None:
    """A thorax of 512 x 512 x 300 voxels and its breath, each engine in a process of its own for its peak memory.

    Drawn at 2.8 mm and interpolated: what counts here is the number of voxels.
    """
    breath = Deformation(breathing=-0.6, rotation_deg=(2.0, 1.0, -3.0), shift_mm=(6.0, -4.0, 8.0))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "pair.pickle"
        with path.open("wb") as file:
            pickle.dump([_enlarged(deformation) for deformation in (Deformation(), breath)], file)
        for engine in engines:
            words = [sys.executable, "-m", "tests.benchmarks.registration", "--large-of", str(path)]
            subprocess.run([*words, "--engines", engine], check=True)


def _enlarged(deformation: Deformation) -> tuple[Volume, Volume]:
    """Scan and organ mask on the large grid."""
    corner = [-n * s / 2 for n, s in zip(LARGE_SHAPE, LARGE_SPACING_MM, strict=True)]
    empty = np.broadcast_to(np.int16(0), LARGE_SHAPE)
    grid = Volume(empty, affine_from(LARGE_SPACING_MM, (corner[0], corner[1], corner[2])), Units.HU)
    drawn = simulate_thorax(4, (DRAWN_MM,) * 3, lesions=(), deformation=deformation)
    image = resample(drawn.image, like=grid, order=1, fill=WINDOW_HU[0])
    organ = resample(drawn.organ, like=grid, order=0, fill=0)
    return image.with_array(np.rint(image.array).astype(np.int16)), organ


def _align_stored(path: Path, engine: str) -> None:
    with path.open("rb") as file:
        (fixed, fixed_mask), (moving, moving_mask) = pickle.load(file)  # noqa: S301 - written by this program
    start, used = time.perf_counter(), time.process_time()
    found = _aligned((fixed, moving), (fixed_mask, moving_mask), engine)
    spent, cpu = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shape = " x ".join(map(str, fixed.shape))
    _say(f"{shape}, {engine}: {found.status}, {spent:.1f} s ({cpu:.1f} s of CPU), at most {peak:.2f} GiB of memory")
    _say(f"  local correlation {found.quality['local_correlation_after']:.2f}, notes {list(found.notes)}")


def _summary(error: Points) -> str:
    return f"mean {error.mean():.2f}, median {np.median(error):.2f}, p95 {np.percentile(error, 95):.2f}"


def _median(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
