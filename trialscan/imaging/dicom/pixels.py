"""Stored pixels of one file as grey values."""

import warnings
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_color_lut

from trialscan.errors import ImagingError


def decode_frames(where: str, dataset: pydicom.Dataset) -> NDArray[Any]:
    """Decode to (frame, row, column); colour becomes grey by luminance, white-is-zero pictures are turned over.

    Raises
    ------
    ImagingError
        The pixels are cut short, compressed in a way no installed decoder knows, or not of one plane.
    """
    samples = int(dataset.get("SamplesPerPixel", 1))
    interpretation = str(dataset.get("PhotometricInterpretation", ""))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
            stored: NDArray[Any] = dataset.pixel_array
            if interpretation == "PALETTE COLOR":
                stored, samples = apply_color_lut(stored, dataset), 3
    except (RuntimeError, NotImplementedError, ValueError, AttributeError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise ImagingError(where, f"pixels cannot be decoded ({syntax}): {reason}", "readable pixel data") from error
    frames = stored.reshape((-1, int(dataset.Rows), int(dataset.Columns), samples))
    if samples != 1:
        return np.stack([_luminance(frame) for frame in frames])
    grey = frames[..., 0]
    return _turned_over(dataset, grey) if interpretation == "MONOCHROME1" else grey


def describe_conversion(dataset: pydicom.Dataset) -> str:
    """What `decode_frames` changes in the file's numbers; empty when nothing."""
    interpretation = str(dataset.get("PhotometricInterpretation", ""))
    if interpretation == "MONOCHROME1":
        return "turned over from MONOCHROME1"
    return "" if interpretation == "MONOCHROME2" else f"from {interpretation} by luminance (ITU-R 601-2)"


def _luminance(frame: NDArray[Any]) -> NDArray[np.uint8]:
    eight_bits = frame if frame.dtype == np.uint8 else (frame >> 8).astype(np.uint8)
    return np.asarray(Image.fromarray(eight_bits[..., :3]).convert("L"))


def _turned_over(dataset: pydicom.Dataset, grey: NDArray[Any]) -> NDArray[Any]:
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    bits = int(dataset.BitsStored)
    brightest = -1 if signed else 2**bits - 1
    turned: NDArray[Any] = (brightest - grey.astype(np.int32)).astype(grey.dtype)
    return turned
