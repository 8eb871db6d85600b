"""What every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public real scans; tests that need it skip, saying so, where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TRIALSCAN_REAL_DATA", beside))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data not found in {folder}; set TRIALSCAN_REAL_DATA to the folder that holds it")
    return folder
