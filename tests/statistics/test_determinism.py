"""The number of threads changes no byte."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from trialscan.statistics import AnalysisPlan, EndpointPlan, compare_arms
table = shared.as_analysis(shared.simulate(5, patients=250, visits=5))
comparison = compare_arms(table, AnalysisPlan((EndpointPlan("BURDENML", primary=True),)))
text = comparison.results.to_csv() + comparison.models_json()
sys.stdout.write(hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor has no second thread")
def test_one_thread_and_two_give_the_same_bytes():
    digests = set()
    for threads in ("1", "2"):
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(Path(__file__).with_name("conftest.py"))],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop()) == hashlib.sha256().digest_size * 2
