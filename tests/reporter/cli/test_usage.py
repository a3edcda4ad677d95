"""What may be written on the command line, and what happens to the rest."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest

from reporter.cli import main
from reporter.cli.arguments import parse
from reporter.errors import UsageError
from tests.reporter.cli.commands import Cli, Result, project_root, run_process

COMMANDS = ["detect", "show", "diff", "sync", "run", "explain", "audit", "adopt", "forget"]


def test_help_names_every_command(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert f"\n    {command} " in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(cli: Cli, command: str) -> None:
    result = cli(command, "--help")
    assert result.code == 0
    assert "--config-file" in result.out


def test_help_imports_nothing_that_is_slow() -> None:
    program = (
        "import sys; from reporter.cli import main; main(['--help'])\n"
        "slow = {'oslo_config', 'keystoneauth1', 'openstack', 'rich', 'apscheduler', 'requests', 'yaml'}\n"
        "sys.exit(f'imported: {slow & sys.modules.keys()}' if slow & sys.modules.keys() else 0)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=project_root(), check=True, stdout=subprocess.DEVNULL)


def test_help_is_quick() -> None:
    """In CPU time, which the other work of the machine disturbs least."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_process(["--help"]).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3, times


def test_version(cli: Cli) -> None:
    result = cli("--version")
    assert result.code == 0
    assert result.out.startswith("placement-reporter ")


def test_options_stand_before_or_after_the_command() -> None:
    before = parse(["--node", "n", "--driver", "static", "-v", "--embedded=f", "show"])
    after = parse(["show", "-v", "--embedded=f", "--node", "n", "--driver", "static"])
    for name in ("node", "driver", "verbose", "embedded", "command", "state_dir", "placement"):
        assert getattr(before, name) == getattr(after, name), name


def test_configuration_files_add_up_in_their_order() -> None:
    arguments = parse(["--config-file", "a", "diff", "--config-file", "b", "--config-file", "c"])
    assert [str(each) for each in arguments.config_file] == ["a", "b", "c"]
    assert parse(["-v", "diff", "-v"]).verbose == 2


def test_bare_embedded_does_not_swallow_the_command() -> None:
    arguments = parse(["--embedded", "diff"])
    assert (arguments.command, arguments.embedded) == ("diff", "")
    assert parse(["diff"]).embedded is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["diff", "--nonsense"],
        ["diff", "--nod", "x"],  # abbreviations would change their meaning with the next option
        ["show", "--from", "nowhere"],
        ["show", "--format", "markdown"],
        ["diff", "--format", "xml"],
        ["explain"],
        ["forget"],
        ["diff", "--embedded", "--placement", "http://127.0.0.1:1"],
        ["diff", "--os-cloud", "c", "--placement", "http://127.0.0.1:1"],
        # What a script passes whose variable is unset.
        ["diff", "--config-dir", ""],
        ["diff", "--state-dir="],
        ["diff", "--embedded="],
        ["detect", "--sysroot", ""],
        ["show", "--from", "placement", "--node", ""],
        ["diff", "--format="],
        ["adopt", ""],
        ["forget", "--delete", ""],
    ],
)
def test_wrong_usage_is_an_error_like_any_other(cli: Cli, arguments: list[str]) -> None:
    """Exit code 2 says that things differ: argparse's would be taken for that."""
    result = cli(*arguments)
    result.assert_explained()
    assert not result.out
    command = re.search("hint: 'placement-reporter (.*--help)'", result.err)
    if command:
        assert cli(*command[1].split()).code == 0
    with pytest.raises(UsageError):
        parse([*cli.common, *arguments])


def test_a_defect_is_told_in_two_lines_and_traced_on_demand(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reporter.cli.detect.facts_document", lambda _facts: {}["gone"])
    told = cli("detect")
    assert told.code == 1
    what, advice = told.err.splitlines()
    assert what == "error: KeyError: 'gone'"
    assert "this is a defect" in advice
    assert "-vv" in advice
    traced = cli("detect", "-vv")
    assert traced.code == 1
    assert "Traceback" in traced.err


def test_interruption_is_no_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_root: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reporter.cli.detect.read_facts", interrupt)
    result = cli("detect")
    assert result.code == 130
    assert "Traceback" not in result.err


def in_a_shell(line: str) -> Result:
    """What follows the command's name, as bash takes it."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m reporter {line}"],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_closed_pipe_is_quiet() -> None:
    assert in_a_shell("detect | :").err == ""


def test_a_full_disk_under_the_output_is_told() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "reporter", "detect"],
            cwd=project_root(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: cannot write the output: No space left on device"
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(("verbose", "told"), [(0, False), (1, True)])
def test_what_libraries_warn_of_is_told_on_demand(verbose: int, told: bool) -> None:
    """With ``[placement] insecure``, urllib3 warns at each request: a service has thousands."""
    program = (
        "import warnings; from urllib3.exceptions import InsecureRequestWarning\n"
        "from reporter.cli.logs import log_to_stderr\n"
        f"log_to_stderr({verbose}); warnings.warn('unverified', InsecureRequestWarning)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=project_root(), check=True, capture_output=True, text=True)
    assert ("unverified" in done.stderr) == told


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed: str) -> None:
    done = in_a_shell(f"detect {closed}")
    assert (done.code, done.err) == (0, "")


def test_main_returns_instead_of_exiting() -> None:
    assert main(["--version"]) == 0
