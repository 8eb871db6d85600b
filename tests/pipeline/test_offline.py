"""A run opens no connection to the network, in no process of its own."""

import os
import subprocess
import sys
from pathlib import Path

GUARD = """\
import socket

_connect = socket.socket.connect

def connect(self, address):
    if self.family != socket.AF_UNIX:
        raise SystemExit(f"network access: {address}")
    return _connect(self, address)

socket.socket.connect = connect
socket.getaddrinfo = lambda *a, **k: (_ for _ in ()).throw(SystemExit(f"network access: {a}"))
"""


def _run(code_or_module: list[str], site: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *code_or_module],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_main_job_stays_offline(trial: Path, tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(GUARD)
    caught = _run(["-c", "import urllib.request as u; u.urlopen('http://192.0.2.1', timeout=2)"], site)
    assert "network access" in caught.stderr
    protocol = str(trial.parent / "protocol.yaml")
    done = _run(["-m", "trialscan", "run", str(trial), "--protocol", protocol, "--out", str(tmp_path / "out")], site)
    assert done.returncode == 0, done.stderr
