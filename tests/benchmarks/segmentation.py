"""One scan from file to mask, beside MONAI's plain route: `python -m tests.benchmarks.segmentation [--repeats N]`.

Both programs are whole processes that take turns: they start, load the same weights, read a simulated 512 × 512 × 200
CT (.nii.gz), and write a mask on its grid (.nii.gz). MONAI's is LoadImaged, Orientationd, ScaleIntensityRanged,
Spacingd, SlidingWindowInferer, Invertd of the probabilities, AsDiscreted and SaveImaged with the windows, overlap and
weighting of the bundle. trialscan's is `trialscan segment`, with its quality numbers. Peak memory is the process's
greatest resident set, CPU time that of all its threads. trialscan takes back small pieces and lesions that are certain
nowhere, which MONAI's does not. `Spacingd` has `scale_extent`, so that both grids span the same box; it samples the
scan where trialscan averages it.

Absolute times and their ratio are to be measured on a machine that does nothing else.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import monai.transforms as mt
import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from trialscan.imaging import Units, Volume, read_mask, resample, write_volume
from trialscan.phantom import simulate_thorax
from trialscan.segmentation import load_bundle
from trialscan.study.shipped import shipped_folder

SHAPE = (512, 512, 200)
SEED = 990_001
NOISE_HU = 15.0


@dataclass(frozen=True)
class Used:
    """What a process took."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def main() -> None:
    """Print a line a program, and how well their masks agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--monai", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.monai:
        plain_route(*given.monai)
        return
    with tempfile.TemporaryDirectory() as folder:
        side_by_side(Path(folder), given.repeats)


def side_by_side(folder: Path, repeats: int) -> None:
    """Time both in turn; the first of each warms the disk's cache and is not counted."""
    scan = folder / "scan.nii.gz"
    write_volume(scan, large_scan())
    ours, theirs = folder / "ours", folder / "theirs"
    programs = {
        "trialscan": ["-m", "trialscan", "segment", str(scan), "--protocol", "covid_lung_ct", "--out", str(ours)],
        "MONAI": ["-m", "tests.benchmarks.segmentation", "--monai", str(scan), str(theirs)],
    }
    runs: dict[str, list[Used]] = {name: [] for name in programs}
    for turn in range(repeats + 1):
        for name, command in programs.items():
            used = run([sys.executable, *command])
            if turn:
                runs[name].append(used)
    for name, each in runs.items():
        seconds = [used.seconds for used in each]
        cpu = median(used.cpu_seconds for used in each)
        say(f"{name}: {median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), {cpu:.1f} s of CPU time, "
            f"{each[-1].peak_mib:.0f} MiB")  # fmt: skip
    speed = median(used.seconds for used in runs["MONAI"]) / median(used.seconds for used in runs["trialscan"])
    say(f"trialscan is {speed:.1f} times as fast, in {runs['trialscan'][-1].peak_mib / runs['MONAI'][-1].peak_mib:.2f} "
        "of the memory")  # fmt: skip
    organ, lesions = (read_mask(ours / f"{name}.nii.gz").array > 0 for name in ("organ", "lesions"))
    (written,) = theirs.rglob("*.nii.gz")
    labels = read_mask(written).array
    say(f"Dice between both: lungs {dice(organ, labels >= 1):.4f}, lesions {dice(lesions, labels >= 2):.4f}")


def large_scan() -> Volume:
    """A simulated thorax on a fine grid, with noise."""
    phantom = simulate_thorax(SEED).image
    ratio = np.array(phantom.shape) / np.array(SHAPE)
    affine = phantom.affine @ np.diag([*ratio, 1.0])
    affine[:3, 3] = phantom.affine[:3, :3] @ ((ratio - 1) / 2) + phantom.affine[:3, 3]
    grid = Volume(np.zeros(SHAPE, np.int16), affine, Units.HU)
    fine = resample(phantom, like=grid, order=1, fill=-1000.0)
    noise = np.random.default_rng(0).normal(0, NOISE_HU, SHAPE).astype(np.float32)
    return fine.with_array((fine.array + noise).astype(np.int16))


def run(command: Sequence[str]) -> Used:
    """Start a process, wait for its end, and read what it took."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Used(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def plain_route(scan: Path, out: Path) -> None:
    """MONAI's own transforms and inferer with the shipped network."""
    segmenter = load_bundle(shipped_folder() / "models" / "thorax_ct", "cpu")
    spec = segmenter.spec
    low, high = spec.intensity_range or (0.0, 1.0)
    before = mt.Compose(
        [
            mt.LoadImaged("image"),
            mt.EnsureChannelFirstd("image"),
            mt.Orientationd("image", axcodes="LPS", labels=None),
            mt.ScaleIntensityRanged("image", low, high, -1.0, 1.0, clip=True),
            mt.Spacingd("image", pixdim=spec.spacing_mm, mode="bilinear", scale_extent=True),
        ]
    )
    inferer = SlidingWindowInferer(
        spec.window, sw_batch_size=1, overlap=spec.overlap, mode="gaussian", padding_mode="constant", cval=-1.0
    )
    after = mt.Compose(
        [
            mt.Activationsd("pred", softmax=True),
            mt.Invertd("pred", transform=before, orig_keys="image", nearest_interp=False, to_tensor=True),
            mt.AsDiscreted("pred", argmax=True),
            mt.SaveImaged("pred", output_dir=out, print_log=False),
        ]
    )
    item = before({"image": str(scan)})
    with torch.inference_mode():
        item["pred"] = inferer(item["image"][None], segmenter.network)[0]
    after(item)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap of two masks."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def say(line: str) -> None:
    """Print."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
