"""Which software computed a run: versions of everything that touches a number."""

import platform
from importlib.metadata import version

from trialscan import __version__

_LIBRARIES = (
    "antspyx",
    "formulaic",
    "matplotlib",
    "monai",
    "nibabel",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pydicom",
    "reportlab",
    "safetensors",
    "scipy",
    "SimpleITK",
    "statsmodels",
    "svglib",
    "torch",
)


def software() -> dict[str, str]:
    """Version by name: trialscan, Python, the processor's kind, and each library."""
    own = {"trialscan": __version__, "python": platform.python_version(), "machine": platform.machine()}
    return own | {name: version(name) for name in _LIBRARIES}
