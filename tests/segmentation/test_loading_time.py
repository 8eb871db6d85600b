"""What `trialscan segment` loads: MONAI alone takes longer than a scan."""

import subprocess
import sys

SLOW = ("monai", "matplotlib", "pandas", "statsmodels", "reportlab", "lifelines")


def test_the_command_and_a_shipped_model_need_none_of_the_slow_libraries():
    code = (
        "import sys; import trialscan.cli.segment; from trialscan.segmentation import load_bundle; "
        "from trialscan.study.shipped import shipped_folder; "
        "load_bundle(shipped_folder() / 'models' / 'ct_slice', 'cpu'); "
        f"print([name for name in {SLOW!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
