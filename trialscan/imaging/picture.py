"""PNG and JPEG pictures: planar images that carry no millimetres."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trialscan.errors import ImagingError
from trialscan.imaging.volume import Units, Volume

_EXACT_MODES = {"L", "I", "I;16", "I;16B", "I;16L"}


def read_picture(path: Path, units: Units) -> Volume:
    """Read a PNG or JPEG as a planar volume of shape (columns, rows, 1) whose affine counts pixels.

    Colour becomes grey by luminance (ITU-R 601-2), transparency is left out; `metadata["greyscale"]` tells both.

    Raises
    ------
    ImagingError
        The file is damaged, no PNG or JPEG, animated, or of a size that only an attack would have.
    """
    image = _open(path)
    metadata = {}
    if image.mode not in _EXACT_MODES:
        metadata["greyscale"] = f"from {image.mode} by luminance (ITU-R 601-2)"
        image = image.convert("RGB").convert("L")
    return _planar(np.asarray(image), units, metadata)


def read_picture_labels(path: Path) -> Volume:
    """Read a PNG mask by its exact values: grey level, palette index, bit, or equal colour channels.

    Raises
    ------
    ImagingError
        As `read_picture`; also a JPEG, whose compression alters labels, and colours that are no numbers.
    """
    image = _open(path)
    if image.format == "JPEG":
        raise ImagingError(path.name, "a mask kept as JPEG, which alters labels", "PNG", "Export it without loss.")
    return _planar(_label_values(path, image), Units.LABEL, {})


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if getattr(image, "n_frames", 1) != 1:
                    raise ImagingError(path.name, "an animation", "a single picture")
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImagingError(path.name, str(error), f"at most {Image.MAX_IMAGE_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise ImagingError(path.name, "no PNG or JPEG content", "a PNG or JPEG picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImagingError(path.name, f"cannot be read: {error}", "a complete picture", "Copy it again.") from error


def _label_values(path: Path, image: Image.Image) -> NDArray[Any]:
    values = np.asarray(image)
    if values.ndim == 2:
        return values.astype(np.uint8) if values.dtype == np.bool_ else values
    colours = values[..., : 1 if image.mode == "LA" else 3]
    if image.mode not in {"RGB", "RGBA", "LA"} or (colours != colours[..., :1]).any():
        raise ImagingError(path.name, f"a mask in colours (mode {image.mode})", "grey levels or palette indices")
    return colours[..., 0]


def _planar(rows: NDArray[Any], units: Units, metadata: dict[str, str]) -> Volume:
    array = np.array(rows.T[:, :, None], dtype=rows.dtype.newbyteorder("="))
    return Volume(array, np.eye(4), units, spacing_known=False, metadata=metadata)
