"""A model's folder before anything in it is loaded: what kind it is, its digest, and whether it may run its code."""

import hashlib
from enum import StrEnum
from pathlib import Path

from trialscan.errors import SegmentationError, TrustError
from trialscan.segmentation.specification import read_json

METADATA = Path("configs/metadata.json")
NNUNET_FILES = ("dataset.json", "plans.json")
_DECISIVE = ("configs", "models")


class ModelKind(StrEnum):
    """Who wrote the model: `trialscan` bundles are numbers only, the others bring code."""

    TRIALSCAN = "trialscan"
    MONAI = "monai"
    NNUNET = "nnunet"


def model_kind(path: Path) -> ModelKind:
    """The kind of a model's folder; raises SegmentationError when it is none, or its metadata is damaged."""
    if (path / METADATA).is_file():
        return ModelKind.TRIALSCAN if "trialscan" in read_json(path / METADATA) else ModelKind.MONAI
    if all((path / name).is_file() for name in NNUNET_FILES):
        return ModelKind.NNUNET
    raise SegmentationError(
        path.name,
        "no configs/metadata.json, and no dataset.json with plans.json",
        "a MONAI bundle, or the folder of an nnU-Net v2 configuration (…/nnUNetTrainer__nnUNetPlans__3d_fullres)",
    )


def folder_sha256(path: Path) -> str:
    """One digest of everything that decides what a model answers: sha256 over the lines `digest  relative/path`.

    Of a trialscan bundle that is `configs/` and `models/`; of any other every file, since its code may read any.
    """
    whole = model_kind(path) is not ModelKind.TRIALSCAN
    roots = [path] if whole else [path / name for name in _DECISIVE]
    files = sorted((file.relative_to(path).as_posix(), file) for root in roots for file in root.rglob("*"))
    total = hashlib.sha256()
    for name, file in files:
        if file.is_file():
            with file.open("rb") as stream:
                total.update(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def require_trust(path: Path, *, trusted: bool, bundle_sha256: str | None) -> ModelKind:
    """Let a model pass that may be loaded.

    Parameters
    ----------
    path : the model's folder.
    trusted : whether the user allows its code to run (`--trust-bundle`).
    bundle_sha256 : the digest of the folder that the protocol names.

    Raises
    ------
    TrustError
        The model brings code, and the user did not allow it or the protocol names no digest of it.
    SegmentationError
        The folder is no model, or not the one whose digest the protocol names.
    """
    kind = model_kind(path)
    if bundle_sha256 is None and kind is ModelKind.TRIALSCAN:
        return kind
    found = folder_sha256(path)
    if bundle_sha256 is not None and found != bundle_sha256:
        raise SegmentationError(
            path.name, f"a folder of sha256 {found}", f"{bundle_sha256}, which the protocol names", "Restore the model."
        )
    if kind is not ModelKind.TRIALSCAN and not (trusted and bundle_sha256):
        lacking = _lacking(trusted=trusted, pinned=bundle_sha256 is not None)
        raise TrustError(
            f"model {path.name}",
            f"a {kind} model, which runs code of its own, {lacking}",
            f"--trust-bundle, and in the protocol segmentation.bundle_sha256: {found}",
            "Read the folder's code, or know who wrote it, before you allow it.",
        )
    return kind


def _lacking(*, trusted: bool, pinned: bool) -> str:
    if not trusted and not pinned:
        return "without leave and without its digest in the protocol"
    return "without its digest in the protocol" if trusted else "without leave"
