"""``placement-reporter run`` as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.conftest import RealPlacement
from tests.reporter.cli.commands import environment, project_root, run_process
from tests.reporter.service.test_loop import eventually, vcpus

DRIVER_THAT_HANGS = """
import os, time
from drivers.base import ComputeDriver

class Driver(ComputeDriver):
    def init_host(self, host):
        pass
    def get_available_nodes(self, refresh=False):
        return ["node"]
    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        print("hanging", flush=True)
        time.sleep(float(os.environ["HANGS"]))
    def cleanup_host(self, host):
        time.sleep(600)
"""


DRIVER_THAT_IS_LISTENED_TO = """
from drivers.base import ComputeDriver

class Driver(ComputeDriver):
    def init_host(self, host):
        print("heard from the start:", self._compute_event_callback is not None, flush=True)
    def get_available_nodes(self, refresh=False):
        return ["node"]
    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        provider_tree.update_inventory(nodename, {"VCPU": {"total": 8}})
"""


def package_of_driver(directory: Path, source: str) -> str:
    """A package with a driver named ``packaged``; the PYTHONPATH that has it."""
    package = directory / "package"
    metadata = package / "packaged-1.0.dist-info"
    metadata.mkdir(parents=True)
    (package / "packaged.py").write_text(source, "utf-8")
    (metadata / "METADATA").write_text("Name: packaged\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text(
        "[placement_reporter.drivers]\npackaged = packaged:Driver\n", "utf-8"
    )
    return os.pathsep.join([str(project_root()), str(package)])


class Running:
    """A service that was started, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def stop(self, number: int = signal.SIGTERM, within: float = 4) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)


@contextmanager
def running(
    directory: Path, *arguments: str, stdin: int = subprocess.DEVNULL, **variables: str
) -> Iterator[Running]:
    log = directory / "log"
    with (
        log.open("w", encoding="utf-8") as stream,
        subprocess.Popen(
            [sys.executable, "-m", "reporter", "run", "--state-dir", str(directory / "state"), *arguments],
            stdin=stdin,
            stdout=stream,
            stderr=stream,
            text=True,
            cwd=project_root(),
            env=environment(**{"PYTHONPATH": str(project_root()), **variables}),
        ) as process,
    ):
        try:
            yield Running(process, log)
        finally:
            process.kill()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """A node with 8 VCPU, once a second."""
    document, config = tmp_path / "tree.yaml", tmp_path / "test.conf"
    document.write_text("providers: [{name: node, inventory: {VCPU: 8}}]\n", "utf-8")
    config.write_text(
        f"[reporter]\ndriver = static\ninterval = 1\njitter = 0\n[static]\npath = {document}\n", "utf-8"
    )
    return ["--config-file", str(config)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_reports_until_a_signal_stops_it(
    tmp_path: Path, options: list[str], placement: RealPlacement, number: int
) -> None:
    with running(tmp_path, *options, "--placement", placement.url) as service:
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        (tmp_path / "tree.yaml").write_text("providers: [{name: node, inventory: {VCPU: 9}}]\n", "utf-8")
        eventually(lambda: vcpus(placement, "node") == 9)
        assert service.stop(number) == 0
        assert "Traceback" not in service.log
        assert service.log.rstrip().endswith("Stopped")
        assert len(service.log.splitlines()) == 4, "start, two cycles that changed something, stop"


def test_sighup_makes_a_cycle_at_once(tmp_path: Path, options: list[str], placement: RealPlacement) -> None:
    (tmp_path / "test.conf").write_text(
        f"[reporter]\ndriver = static\ninterval = 3600\n[static]\npath = {tmp_path}/tree.yaml\n", "utf-8"
    )
    with running(tmp_path, *options, "--placement", placement.url) as service:
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        (tmp_path / "tree.yaml").write_text("providers: [{name: node, inventory: {VCPU: 9}}]\n", "utf-8")
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: vcpus(placement, "node") == 9)
        placement.hook = lambda _method, _path: ("503 Service Unavailable", b"")
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: "503" in service.log)
        placement.hook = None
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: "works again" in service.log)
        assert service.log.count("configuration files are read at start only") == 3
        assert service.stop() == 0


def test_a_terminal_that_goes_stops_it_in_order(
    tmp_path: Path, options: list[str], placement: RealPlacement
) -> None:
    ours, terminal = os.openpty()
    with running(tmp_path, *options, "--placement", placement.url, stdin=terminal) as service:
        os.close(terminal)
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        os.close(ours)
        assert service.stop(signal.SIGHUP) == 0
        assert service.log.rstrip().endswith("Stopped")


def test_it_goes_on_when_placement_comes_up(
    tmp_path: Path, options: list[str], placement: RealPlacement
) -> None:
    placement.hook = lambda _method, _path: ("500 Internal Server Error", b"")
    with running(tmp_path, *options, "--placement", placement.url) as service:
        eventually(lambda: "500" in service.log, seconds=20)
        placement.hook = None
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        assert service.process.poll() is None


def test_a_second_writer_is_told_who_holds_the_state(
    tmp_path: Path, options: list[str], placement: RealPlacement
) -> None:
    common = [*options, "--placement", placement.url]
    with running(tmp_path, *common) as service:
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        state = ["--state-dir", str(tmp_path / "state")]
        for command in (["sync"], ["run"], ["adopt", "node"], ["forget", "node"]):
            refused = run_process([*command, *common, *state])
            refused.assert_explained(f"pid {service.process.pid} ")
        assert run_process(["diff", *common, *state]).code == 0
    assert run_process(["sync", *common, *state]).code == 0, "the kernel let go when the process died"


@pytest.mark.parametrize("seconds", ["600", "0.7"])
def test_a_driver_that_hangs_does_not_keep_it_from_stopping(
    tmp_path: Path, placement: RealPlacement, seconds: str
) -> None:
    path = package_of_driver(tmp_path, DRIVER_THAT_HANGS)
    arguments = ["--driver", "packaged", "--placement", placement.url]
    with running(tmp_path, *arguments, PYTHONPATH=path, HANGS=seconds) as service:
        eventually(lambda: "hanging" in service.log, seconds=20)
        assert service.stop(within=2) == 0
        assert re.search("is left behind|leaving it behind", service.log)


def test_it_listens_to_the_driver_before_that_connects(tmp_path: Path, placement: RealPlacement) -> None:
    path = package_of_driver(tmp_path, DRIVER_THAT_IS_LISTENED_TO)
    with running(tmp_path, "--driver", "packaged", "--placement", placement.url, PYTHONPATH=path) as service:
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        assert "heard from the start: True" in service.log


def test_a_second_signal_stops_at_once(tmp_path: Path, options: list[str], placement: RealPlacement) -> None:
    def slow(_method: str, _path: str) -> None:
        time.sleep(5)

    placement.hook = slow
    with running(tmp_path, *options, "--placement", placement.url) as service:
        eventually(lambda: placement.requests, seconds=20)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert service.process.poll() is None, "a request is under way"
        assert service.stop(within=1) == 128 + signal.SIGTERM


def test_the_journal_gets_priorities_and_no_times(
    tmp_path: Path, options: list[str], placement: RealPlacement
) -> None:
    status = tmp_path / "log"
    status.touch()
    stream = f"{status.stat().st_dev}:{status.stat().st_ino}"
    with running(tmp_path, *options, "--placement", placement.url, JOURNAL_STREAM=stream) as service:
        eventually(lambda: vcpus(placement, "node") == 8, seconds=20)
        service.stop()
        assert service.log.startswith("<6>Reporting node every 1 s")


def test_systemd_hears_when_it_is_ready(tmp_path: Path, options: list[str], placement: RealPlacement) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        address = str(tmp_path / "notify")
        with running(tmp_path, *options, "--placement", placement.url, NOTIFY_SOCKET=address) as service:
            assert manager.recv(100) == b"READY=1"
            assert manager.recv(100) == b"STATUS=reporting"
            service.stop()


def test_what_is_wrong_from_the_start_ends_it(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "tree.yaml").write_text("providers: nonsense\n", "utf-8")
    with running(tmp_path, *options, "--placement", "http://127.0.0.1:1") as service:
        assert service.process.wait(20) == 1
        assert "providers" in service.log
        assert "Traceback" not in service.log


def test_it_works_with_an_embedded_placement(tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "placement.sqlite"
    with running(tmp_path, *options, f"--embedded={file}") as service:
        eventually(lambda: "created" in service.log, seconds=30)
        assert run_process(["diff", *options, f"--embedded={file}"]).code == 0
        assert service.stop() == 0


def test_it_stays_small(tmp_path: Path, placement: RealPlacement) -> None:
    """Less than 70 MB resident, with the driver that reads this machine."""
    config = tmp_path / "test.conf"
    config.write_text("[DEFAULT]\nhost = node\n[reporter]\ninterval = 1\njitter = 0\n", "utf-8")
    with running(tmp_path, "--config-file", str(config), "--placement", placement.url) as service:
        eventually(lambda: vcpus(placement, "node") > 0, seconds=20)
        time.sleep(3)
        status = Path(f"/proc/{service.process.pid}/status").read_text("utf-8")
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert resident
        assert int(resident[1]) < 70_000
