"""What every test may ask for."""

import os
from pathlib import Path

import pytest


def real_data_folder() -> Path:
    """Where public real scans are, if they are."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("TRIALSCAN_REAL_DATA", beside))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public real scans; tests that need it skip, saying so, where it is absent."""
    folder = real_data_folder()
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data not found in {folder}; set TRIALSCAN_REAL_DATA to the folder that holds it")
    return folder
