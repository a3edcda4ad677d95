"""A real Placement for the tests of faults, and a place for many state directories."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.conftest import make_placement, placement, placement_template

__all__ = ["make_placement", "placement", "placement_template", "states"]

pytest.register_assert_rewrite("tests.faults.stage", "tests.faults.undisturbed")


@pytest.fixture
def states() -> Iterator[Path]:
    """An empty directory, in memory where that can be: waiting for a disk would take half of the time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)
