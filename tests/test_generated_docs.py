"""What is generated from the options is as the options are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from reporter.options import list_opts
from reporter.options.files import parse_file

ROOT = Path(__file__).resolve().parent.parent


def test_sample_and_reference_are_up_to_date() -> None:
    finished = subprocess.run(
        [sys.executable, "tools/generate_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 3:
        pytest.skip(finished.stderr.strip())
    assert finished.returncode == 0, finished.stderr


def test_sample_is_a_configuration_file_that_sets_nothing() -> None:
    path = ROOT / "etc" / "placement-reporter.conf.sample"
    sections = parse_file(path, path.read_text()).sections
    assert {"reporter", "placement", "DEFAULT"} <= set(sections)
    assert not any(sections.values())


def test_every_line_of_the_sample_can_be_taken_as_it_is() -> None:
    path = ROOT / "etc" / "placement-reporter.conf.sample"
    lines = path.read_text().splitlines()
    active = [line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines]
    sections = parse_file(path, "\n".join(active)).sections
    for group, options in list_opts():
        for option in options:
            values = sections.get(str(getattr(group, "name", group)), {}).get(option.dest)
            if values and values[0] and not values[0].startswith("<"):
                option.type(values[0])


@pytest.mark.parametrize("group", ["reporter", "DEFAULT", "compute"])
def test_every_option_has_a_help_text(group: str) -> None:
    for name, options in list_opts():
        if str(getattr(name, "name", name)) == group:
            assert all(isinstance(option, cfg.Opt) and option.help for option in options)
