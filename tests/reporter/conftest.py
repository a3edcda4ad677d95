"""A real Placement for all tests of the reporter that ask for one, and logging that is put back."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.functional.conftest import make_placement, placement, placement_template

__all__ = ["make_placement", "placement", "placement_template"]


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Commands set logging up for their process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("apscheduler", "reporter.service")}
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
