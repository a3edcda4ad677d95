"""Runs scripts that import Nova in a process of their own, because Nova's imports change the process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

needs_nova = [
    pytest.mark.peer,
    pytest.mark.skipif(importlib.util.find_spec("nova") is None, reason="Nova is not installed"),
]


def run_beside_nova(script: str, *arguments: str) -> str:
    """What tests/peer/nova_side/SCRIPT prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "nova_side" / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
