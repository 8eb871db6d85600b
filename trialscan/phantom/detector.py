"""From attenuation to the picture on the wall: scatter, noise, processing, collimation and markers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Field = NDArray[Any]


def expose(attenuation: Field, pixel_mm: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An 8-bit picture (columns, rows) of the attenuation (natural log units): dense is bright, as films hang."""
    picture = _develop(_detect(attenuation, pixel_mm, rng), pixel_mm, rng)
    if rng.random() < 0.35:
        picture = _cables(picture, pixel_mm, rng)
    if rng.random() < 0.6:
        picture = _markers(picture, rng)
    if rng.random() < 0.3:
        picture = _collimate(picture, rng)
    noise = rng.normal(0, rng.uniform(0, 0.02), picture.shape)
    return np.rint(255 * np.clip(picture + noise, 0, 1)).astype(np.uint8)


def _detect(attenuation: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Beer–Lambert transmission with scatter (wide blur) and counting noise, back on the logarithmic scale."""
    light = np.exp(-attenuation)
    light = ndimage.gaussian_filter(light, rng.uniform(0.2, 1.0) / pixel_mm)
    scatter = ndimage.gaussian_filter(light, rng.uniform(20, 50) / pixel_mm, mode="nearest")
    light = light + rng.uniform(0.1, 0.7) * scatter
    photons = np.exp(rng.uniform(np.log(2e4), np.log(1e6)))
    light = np.maximum(rng.normal(light, np.sqrt(light / photons)), 1e-6)
    signal: Field = -np.log(light)
    return signal


def _develop(signal: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Window, gamma, sigmoid film curve, and local contrast as picture stations apply them; 0 … 1."""
    low, high = np.percentile(signal, [rng.uniform(0.1, 8), rng.uniform(88, 99.9)])
    value = (signal - low) / max(high - low, 1e-6)
    local = rng.uniform(-0.1, 0.9)
    value = value - local * 0.6 * (ndimage.gaussian_filter(value, rng.uniform(25, 60) / pixel_mm, mode="nearest") - 0.5)
    fine = ndimage.gaussian_filter(value, rng.uniform(2, 6) / pixel_mm, mode="nearest")
    value = np.clip(value + rng.uniform(0, 1.2) * (value - fine), 0, 1) ** np.exp(rng.uniform(-0.55, 0.55))
    steep = rng.uniform(0.1, 6)
    edge = 1 / (1 + np.exp(steep / 2))
    curve: Field = (1 / (1 + np.exp(-steep * (value - 0.5))) - edge) / (1 - 2 * edge)
    return curve * rng.uniform(0.75, 1.0) + rng.uniform(0, 0.12)


def _cables(picture: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Leads and tubes that cross the chest, with the pads at their ends."""
    width, height = picture.shape
    canvas = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(0, width, 4), np.sort(rng.uniform(0, height, 4))
        t = np.linspace(0, 1, 40)
        basis = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        track = [(float(a), float(b)) for a, b in zip(x @ basis, y @ basis, strict=True)]
        pen.line(track, fill=255, width=max(1, round(rng.uniform(0.8, 3) / pixel_mm)))
        r = rng.uniform(3, 7) / pixel_mm
        end = track[-1]
        pen.ellipse((end[0] - r, end[1] - r, end[0] + r, end[1] + r), fill=255)
    drawn = ndimage.gaussian_filter(np.asarray(canvas, dtype=np.float32).T / 255, 0.6)
    return picture + rng.uniform(0.1, 0.5) * drawn


def _markers(picture: Field, rng: np.random.Generator) -> Field:
    """Side letters and station text, bright, near the edges."""
    width, height = picture.shape
    canvas = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 4))):
        text = str(rng.choice(["L", "R", "AP", "PA ERECT", "MOBILE", "SUPINE", "PORTABLE", "09:41"]))
        spot = (rng.choice([0.03, 0.8]) * width, rng.uniform(0.02, 0.9) * height)
        pen.text(spot, text, fill=255, font=ImageFont.load_default(size=float(rng.uniform(8, 18))))
    return np.maximum(picture, rng.uniform(0.7, 1.0) * np.asarray(canvas, dtype=np.float32).T / 255)


def _collimate(picture: Field, rng: np.random.Generator) -> Field:
    """Black borders where the shutters shaded the detector, a little askew."""
    width, height = picture.shape
    u, v = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height), indexing="ij")
    angle = rng.normal(0, 0.03)
    a, b = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    edges = 1 - rng.uniform(0, 0.07, 4) * (rng.random(4) < 0.6)
    lit = (a < edges[0]) & (a > -edges[1]) & (b < edges[2]) & (b > -edges[3])
    shade: Field = np.where(lit, picture, rng.uniform(0, 0.06))
    return shade
