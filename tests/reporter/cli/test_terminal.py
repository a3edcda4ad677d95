"""Colour and Unicode on a terminal only."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reporter.cli.commands import Cli, environment, node, project_root, run_process


def on_terminal(arguments: list[str], **variables: str) -> str:
    """What Python prints on a terminal with these arguments, stdout and stderr together."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=project_root(),
            env={"TERM": "xterm-256color", "PYTHONUTF8": "1", **environment(**variables)},
        ) as process:
            os.close(theirs)
            theirs = -1
            parts = []
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                parts.append(part)
            process.wait(30)
        return b"".join(parts).decode()
    finally:
        for each in (ours, theirs):
            if each >= 0:
                os.close(each)


@pytest.fixture
def arguments(cli: Cli) -> list[str]:
    cli.tree(node(), {"name": "device", "parent": "node"})
    return ["-m", "reporter", *cli.common, "show"]


def test_a_terminal_gets_colour_and_lines(arguments: list[str]) -> None:
    shown = on_terminal(arguments, TERM="xterm-256color", NO_COLOR="")
    assert "\x1b[" in shown
    assert "└── " in shown


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colour(arguments: list[str], variables: dict[str, str]) -> None:
    shown = on_terminal(arguments, **variables)
    assert "\x1b[3" not in shown
    assert "└── " in shown


def test_a_terminal_without_unicode(arguments: list[str]) -> None:
    shown = on_terminal(arguments, PYTHONIOENCODING="ascii", NO_COLOR="1", PYTHONUTF8="0")
    assert shown.isascii()
    assert "device" in shown


def test_a_pipe_gets_plain_text(arguments: list[str]) -> None:
    result = run_process(arguments[2:])
    assert result.code == 0
    assert "\x1b" not in result.out
    assert result.out.isascii()


def test_names_that_the_character_set_lacks_are_escaped(cli: Cli, tmp_path: Path) -> None:
    cli.tree(node("höst"))
    result = run_process([*cli.common, "show"], env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert result.code == 0
    assert "h\\xf6st" in result.out


def test_long_work_shows_progress_on_a_terminal() -> None:
    program = (
        "import time, rich.console, rich.progress\n"  # to import them while it works may take long
        "from reporter.progress import ProgressDisplay\n"
        "with ProgressDisplay('thinking', patience=0.2) as display:\n"
        "    time.sleep(1.5)\n"
        "    display('reading providers', 3, 10)\n"
        "    time.sleep(1.5)\n"
    )
    shown = on_terminal(["-c", program], TERM="xterm")
    assert "thinking" in shown
    assert "reading providers" in shown
    assert "3/10" in shown


def test_a_terminal_that_cannot_move_its_cursor_gets_no_progress() -> None:
    program = (
        "import time, rich.console, rich.progress\n"
        "from reporter.progress import ProgressDisplay\n"
        "with ProgressDisplay('thinking', patience=0.1) as display:\n"
        "    time.sleep(1)\n"
        "    display('reading providers', 3, 10)\n"
    )
    assert on_terminal(["-c", program], TERM="dumb") == ""


def test_short_work_shows_nothing() -> None:
    program = (
        "from reporter.progress import ProgressDisplay\n"
        "with ProgressDisplay('thinking'):\n"
        "    pass\n"
        "import sys; sys.exit('rich' in sys.modules)\n"
    )
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    done = subprocess.run([sys.executable, "-c", program], stderr=theirs, cwd=project_root(), check=False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
