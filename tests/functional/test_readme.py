"""What README.md shows is what there is to see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import reporter
from reporter.cli import main

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(PICTURE,) = re.findall(r"```\n(compute-1 .*?)```", TEXT, re.DOTALL)
CHANGED = """\
[DEFAULT]
reserved_host_memory_mb = 1024
cpu_allocation_ratio = 2.0
"""
ADDED = """\
meta: {schema_version: '1.0'}
providers:
  - identification: {uuid: $COMPUTE_NODE}
    inventories: {additional: [{CUSTOM_LICENSE: {total: 10, reserved: 2, max_unit: 5}}]}
    traits: {additional: [CUSTOM_BURST, CUSTOM_RACK_A7]}
"""


def test_the_example_of_the_readme_works(placement: Any, tmp_path: Path, capsys: Any) -> None:
    code = EXAMPLE.replace('cloud="mycloud"', f"url={placement.url!r}").replace("/var/lib", str(tmp_path))
    assert placement.url in code
    assert str(tmp_path) in code
    exec(compile(code, str(README), "exec"), {})
    printed = capsys.readouterr().out
    assert "add VCPU total" in printed
    assert "COMPUTE_NODE" in printed.splitlines()[-1]


def test_the_package_shows_the_same_example() -> None:
    indented = re.sub("^(?=.)", "    ", EXAMPLE, flags=re.MULTILINE)
    assert indented in (reporter.__doc__ or "")


def test_the_picture_of_a_diff_is_one(placement: Any, tmp_path: Path, capsys: Any) -> None:
    nova, added = tmp_path / "nova.conf", tmp_path / "provider_config" / "custom.yaml"
    common = [
        "--config-file",
        str(nova),
        "--placement",
        placement.url,
        "--state-dir",
        str(tmp_path / "state"),
    ]
    location = f"[compute]\nprovider_config_location = {added.parent}\n"
    nova.write_text(f"[DEFAULT]\nhost = compute-1\n{location}")
    assert main([*common, "sync"]) == 0
    nova.write_text(f"{CHANGED}host = compute-1\n{location}")
    added.parent.mkdir()
    added.write_text(ADDED)
    capsys.readouterr()
    assert main([*common, "diff"]) == 2
    printed = capsys.readouterr().out.replace(str(tmp_path), "/etc/nova")
    assert printed.splitlines()[1:] == PICTURE.splitlines()[1:]
    assert printed.startswith("compute-1 ")
