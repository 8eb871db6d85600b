"""From a model's folder to a segmenter, whoever wrote the model."""

from pathlib import Path
from typing import TYPE_CHECKING

from trialscan.errors import SegmentationError, TrustError
from trialscan.segmentation.bundle import BundleSegmenter, load_bundle
from trialscan.segmentation.model_folder import ModelKind, require_trust
from trialscan.study.sections import SegmentationSettings

if TYPE_CHECKING:  # loading MONAI takes longer than segmenting a scan
    from trialscan.segmentation.monai_bundle import MonaiSegmenter
    from trialscan.segmentation.nnunet_folder import NnunetSegmenter

    AnySegmenter = BundleSegmenter | MonaiSegmenter | NnunetSegmenter


def load_model(
    path: Path, settings: SegmentationSettings, *, device: str = "auto", trusted: bool = False
) -> "AnySegmenter":
    """Load a model: a trialscan bundle, a MONAI bundle or an nnU-Net v2 folder.

    Parameters
    ----------
    path : the model's folder.
    settings : the protocol's section; its digests must be the model's, its labels must be among the model's.
    device : `auto`, `cpu`, `cuda` or `cuda:N`.
    trusted : whether a model may run code of its own; it must then be pinned by `bundle_sha256` as well.

    Raises
    ------
    TrustError
        The model brings code that nobody has vouched for.
    SegmentationError
        The folder is damaged, not the one that the protocol pins, or of labels that the protocol does not expect.
    UsageError
        The device does not exist, or nnU-Net is not installed.
    """
    kind = require_trust(path, trusted=trusted, bundle_sha256=settings.bundle_sha256)
    if kind is ModelKind.TRIALSCAN:
        segmenter: AnySegmenter = load_bundle(path, device, settings.weights_sha256, settings.mirroring)
    else:
        segmenter = _load_foreign(path, kind, settings, device)
    _require_labels(segmenter, settings)
    return segmenter


def _load_foreign(path: Path, kind: ModelKind, settings: SegmentationSettings, device: str) -> "AnySegmenter":
    if settings.bundle_sha256 is None:
        raise TrustError(path.name, "no digest in the protocol", "segmentation.bundle_sha256")
    for name, default in (("weights_sha256", None), ("mirroring", "none")):
        if getattr(settings, name) != default:
            raise SegmentationError(
                f"segmentation.{name}", f"set for a {kind} model", "a trialscan bundle", "Leave it out of the protocol."
            )
    if kind is ModelKind.MONAI:
        from trialscan.segmentation.monai_bundle import load_monai_bundle  # noqa: PLC0415 - slow to load

        return load_monai_bundle(path, device, settings.bundle_sha256)
    from trialscan.segmentation.nnunet_folder import load_nnunet  # noqa: PLC0415 - slow to load

    return load_nnunet(path, device, settings.bundle_sha256)


def _require_labels(segmenter: "AnySegmenter", settings: SegmentationSettings) -> None:
    """Refuse a protocol that waits for labels the model never gives."""
    if unknown := sorted({*settings.organ_labels, *settings.lesion_labels} - set(segmenter.labels)):
        known = ", ".join(f"{label} {name}" for label, name in sorted(segmenter.labels.items()) if label)
        raise SegmentationError(
            f"model {segmenter.identity.name}",
            f"no label {', '.join(map(str, unknown))}",
            f"in organ_labels and lesion_labels only its own ({known})",
            "Correct the labels in the protocol.",
        )
