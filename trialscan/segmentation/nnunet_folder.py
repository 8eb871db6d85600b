"""A trained nnU-Net v2 configuration: `dataset.json`, `plans.json` and `fold_*/checkpoint_final.pth` in one folder.

nnU-Net prepares the scan and runs its network; the way back to the scan's grid is this project's own, in slabs, because
nnU-Net's holds every class's logits at full size. Checkpoints are pickles, which can run code: the folder is loaded
only once `require_trust` has let it pass.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trialscan.errors import SegmentationError, UsageError
from trialscan.imaging import Reorientation, Units, Volume, fill_nonfinite
from trialscan.segmentation.contract import LabelMap, ModelIdentity
from trialscan.segmentation.device import choose_device
from trialscan.segmentation.nnunet_metadata import read_nnunet
from trialscan.segmentation.resampling import interpolation_weights, nearest_weights
from trialscan.segmentation.stopwatch import Stopwatch

CHECKPOINT = "checkpoint_final.pth"
_REORIENTING_READER = "NibabelIOWithReorient"
_SLAB_VALUES = 24_000_000
_UNSPACED_MM = 999.0
_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, ImportError, OSError, AssertionError)


@dataclass(frozen=True, eq=False)
class NnunetSegmenter:
    """An nnU-Net that is ready; the logits of its folds are averaged. `predictor` is nnU-Net's own."""

    identity: ModelIdentity
    labels: Mapping[int, str]
    predictor: Any
    reorients: bool

    def __call__(self, volume: Volume) -> LabelMap:
        """Label a scan; raises SegmentationError when nnU-Net refuses it."""
        watch = Stopwatch(self.predictor.device)
        turn = Reorientation.to_lps(volume) if self.reorients else None
        turned = volume if turn is None else turn.apply(volume)
        try:
            with redirect_stdout(sys.stderr):
                with watch.stage("prepare"):
                    data, properties = self._prepared(_as_nnunet(turned, mirrored=self.reorients), turned)
                with watch.stage("network"):
                    logits = self.predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
                with watch.stage("to_native_grid"):
                    labels = self._native(logits, properties)
        except _FAILURES as error:
            raise SegmentationError(
                f"model {self.identity.name}", f"{type(error).__name__}: {error}", "a scan that nnU-Net can take"
            ) from error
        back = _from_nnunet(labels, mirrored=self.reorients)
        native = back if turn is None else turn.undo(back)
        return LabelMap(volume.with_array(np.ascontiguousarray(native), Units.LABEL), {}, seconds=watch.seconds)

    def _prepared(self, image: NDArray[np.float32], volume: Volume) -> tuple[NDArray[np.float32], dict[str, Any]]:
        plans, configuration = self.predictor.plans_manager, self.predictor.configuration_manager
        preprocessor = configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            image, None, {"spacing": _spacing(volume)}, plans, configuration, self.predictor.dataset_json
        )
        return data, properties

    def _native(self, logits: Tensor, properties: Mapping[str, Any]) -> NDArray[np.uint8]:
        """nnU-Net's way back (resample, decide, paste, transpose) slab by slab along the first axis."""
        plans, manager = self.predictor.plans_manager, self.predictor.label_manager
        shape = properties["shape_after_cropping_and_before_resampling"]
        weights = self._weights(logits.shape[1:], shape, properties["spacing"])
        whole = np.zeros(properties["shape_before_cropping"], dtype=np.uint8)
        inside = whole[tuple(slice(first, last) for first, last in properties["bbox_used_for_cropping"])]
        thickness = max(1, _SLAB_VALUES // (logits.shape[0] * shape[1] * shape[2]))
        for first in range(0, shape[0], thickness):
            slab = torch.tensordot(weights[0][first : first + thickness], logits.float(), dims=([1], [1]))
            slab = torch.einsum("xcyz,by,dz->cxbd", slab, weights[1], weights[2])
            inside[first : first + thickness] = np.asarray(manager.convert_logits_to_segmentation(slab))
        return whole.transpose(plans.transpose_backward)

    def _weights(self, source: Sequence[int], target: Sequence[int], spacing: Sequence[float]) -> list[Tensor]:
        """Interpolation matrices (target, source) of three axes, by the nearest slice where nnU-Net does so."""
        from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis  # noqa: PLC0415

        plans, configuration = self.predictor.plans_manager, self.predictor.configuration_manager
        own = [spacing[axis] for axis in plans.transpose_forward]
        given = configuration.spacing if len(configuration.spacing) == 3 else [own[0], *configuration.spacing]
        settings = configuration.configuration["resampling_fn_probabilities_kwargs"]
        _, apart = determine_do_sep_z_and_axis(settings.get("force_separate_z"), given, own)
        return [
            (nearest_weights if axis == apart else interpolation_weights)(source[axis], target[axis])
            for axis in range(3)
        ]


def load_nnunet(path: Path, device: str, sha256: str) -> NnunetSegmenter:
    """Load every fold of a configuration's folder, which unpickles its checkpoints.

    Raises
    ------
    UsageError
        nnU-Net is not installed, or the device does not exist.
    SegmentationError
        The folder is incomplete or damaged, takes several channels, or is the second stage of a cascade.
    """
    target = choose_device(device)
    facts = read_nnunet(path)
    folds = tuple(
        sorted(fold.name.removeprefix("fold_") for fold in path.glob("fold_*") if (fold / CHECKPOINT).is_file())
    )
    if not folds:
        raise SegmentationError(path.name, "no trained fold", f"fold_0/{CHECKPOINT}")
    with _quiet():
        predictor = _new_predictor(target)
        try:
            predictor.initialize_from_trained_model_folder(str(path), folds, CHECKPOINT)
        except Exception as error:
            raise SegmentationError(
                path.name, f"{type(error).__name__}: {error}", "a trained nnU-Net v2", "Restore the folder."
            ) from error
        if predictor.configuration_manager.previous_stage_name is not None:
            raise SegmentationError(path.name, "the second stage of a cascade", "a model that needs the scan alone")
        predictor.network.eval().to(target)
    return NnunetSegmenter(
        ModelIdentity(facts.name, facts.configuration, sha256),
        facts.labels,
        predictor,
        facts.reader == _REORIENTING_READER,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """nnU-Net talks on standard output, which belongs to `--json`, and asks for folders that only training needs."""
    with redirect_stdout(sys.stderr):
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ.setdefault(name, os.devnull)
        yield


def _new_predictor(device: torch.device) -> Any:  # noqa: ANN401 - nnU-Net is untyped and optional
    try:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise UsageError(
            "model", "the package 'nnunetv2' is not installed", "", "pip install trialscan[nnunet]"
        ) from error
    return nnUNetPredictor(
        use_mirroring=False,
        perform_everything_on_device=device.type == "cuda",
        device=device,
        verbose=False,
        allow_tqdm=False,
    )


def _spacing(volume: Volume) -> list[float]:
    """Voxel edges in nnU-Net's order (k, j, i); its own stand-ins where the scan has none."""
    if not volume.spacing_known:
        return [_UNSPACED_MM, 1.0, 1.0]
    return list(reversed(volume.spacing_mm))


def _as_nnunet(volume: Volume, *, mirrored: bool) -> NDArray[np.float32]:
    """(1, k, j, i) as SimpleITK reads a file; i and j reversed (RAS) where the model's reader reorients."""
    array = fill_nonfinite(np.asarray(volume.array, dtype=np.float32))
    oriented = array[::-1, ::-1] if mirrored else array
    return np.ascontiguousarray(oriented.transpose(2, 1, 0))[None]


def _from_nnunet(labels: NDArray[np.uint8], *, mirrored: bool) -> NDArray[np.uint8]:
    array = labels.transpose(2, 1, 0)
    return array[::-1, ::-1] if mirrored else array
