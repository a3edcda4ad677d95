"""The command line against a real Placement."""

from __future__ import annotations

from pathlib import Path

import pytest

from reporter.embedded.logs import hush
from tests.functional.conftest import RealPlacement
from tests.reporter.cli.commands import Cli


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], restored_logging: None) -> Cli:
    """Runs commands that name no Placement."""
    hush()  # the servers of the tests are not started as the embedded one is
    return Cli(tmp_path, capsys)


@pytest.fixture
def placed(cli: Cli, placement: RealPlacement) -> Cli:
    """Runs commands against the real Placement of the test."""
    cli.common += ["--placement", placement.url]
    return cli
