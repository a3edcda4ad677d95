"""Running the command: in this process, as most tests do, or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from reporter.cli import main


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def assert_explained(self, *words: str) -> None:
        """One line says what is wrong and one what to do; there is no traceback."""
        assert self.code == 1, self
        lines = self.err.splitlines()
        assert len(lines) == 2, self.err
        assert lines[0].startswith("error: "), self.err
        assert lines[1].startswith("hint: "), self.err
        assert "this is a defect: please report" not in lines[1], "nobody thought of it"
        for word in words:
            assert word in self.err, self.err


class Cli:
    """Runs commands with a state directory of the test's own.

    :ivar common: arguments that every command gets
    """

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.common: list[str] = ["--state-dir", str(self.state)]
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        code = main([*self.common, *arguments])
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def tree(self, *providers: Mapping[str, Any], **options: Mapping[str, Any]) -> None:
        """Have the static driver want these providers; ``options``: group → further options."""
        document = self.directory / "tree.yaml"
        document.write_text(yaml.safe_dump({"providers": list(providers)}), "utf-8")
        groups: dict[str, dict[str, Any]] = {
            "reporter": {"driver": "static", **options.pop("reporter", {})},
            "static": {"path": str(document), **options.pop("static", {})},
            **{name: dict(each) for name, each in options.items()},
        }
        self.config(groups)

    def config(self, groups: Mapping[str, Mapping[str, Any]]) -> Path:
        """Write a configuration file, and have it read."""
        file = self.directory / "test.conf"
        lines = [
            line
            for name, options in groups.items()
            for line in [f"[{name}]", *(f"{key} = {value}" for key, value in options.items())]
        ]
        file.write_text("\n".join(lines) + "\n", "utf-8")
        if str(file) not in self.common:
            self.common += ["--config-file", str(file)]
        return file


def node(name: str = "node", **fields: Any) -> dict[str, Any]:
    """A root provider with some capacity, unless told otherwise."""
    return {"name": name, "inventory": {"VCPU": {"total": 8}}, **fields}


def run_process(
    arguments: Sequence[str], timeout: float = 60, stdin: int = subprocess.DEVNULL, **options: Any
) -> Result:
    """Run the command as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "reporter", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=stdin,
        cwd=options.pop("cwd", project_root()),
        check=False,
        **options,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def project_root() -> Path:
    """Where the packages are."""
    return Path(__file__).parents[3]


def files_below(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory with the moment of its last change and its contents."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def environment(**extra: str) -> dict[str, str]:
    """The environment of this process, with something more."""
    return {**os.environ, **extra}
