"""What whole processes cost: start-up, a ``diff`` from nothing, the memory of the service."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import tree, work
from benchmarks.peers import ROOT

HELP, DIFF, RSS = "--help", "diff, 10 providers", "service, resident memory in MB"
TREE_SIZE = 10_000
_GOES = 5
_CYCLES = 8  # of the service, a second apart, before its memory is looked at


def figures(url: str, directory: Path) -> dict[str, float]:
    """What was measured: seconds of wall time (of CPU for trees), megabytes for the service.

    :param directory: empty
    """
    found = {HELP: _median([*_command(), "--help"])}
    options = _static_host(url, directory, 10)
    found[DIFF] = _median([*_command(), *options, "diff"], exit_codes=(2,))
    found[RSS] = _resident([*_command(), *options, "run"])
    for operation, seconds in tree.ours(TREE_SIZE).items():
        found[f"tree of {TREE_SIZE}: {operation}"] = seconds
    return found


def _command() -> list[str]:
    return [sys.executable, "-m", "reporter"]


def _static_host(url: str, directory: Path, size: int) -> list[str]:
    """A configuration of the static driver; the options to run with it."""
    nodes = work.make_work(size, "processes").nodes
    names = {node.uuid: node.name for node in nodes}
    providers = [
        {
            "name": node.name,
            "uuid": node.uuid,
            "parent": names.get(node.parent or ""),
            "inventory": node.inventory,
            "traits": node.traits,
        }
        for node in nodes
    ]
    document, configuration = directory / "host.json", directory / "reporter.conf"
    document.write_text(json.dumps({"providers": providers}))
    configuration.write_text(f"[reporter]\ninterval = 1\njitter = 0\n[static]\npath = {document}\n")
    state = directory / "state"
    return [
        *("--config-file", str(configuration), "--driver", "static"),
        *("--placement", url, "--state-dir", str(state)),
    ]


def _median(command: list[str], exit_codes: tuple[int, ...] = (0,)) -> float:
    times = []
    for _ in range(_GOES):
        start = time.perf_counter()
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        times.append(time.perf_counter() - start)
        assert ended.returncode in exit_codes, f"{' '.join(command)}: {ended.stderr}"
    return statistics.median(times)


def _resident(command: list[str]) -> float:
    """Megabytes of a service that has run for some cycles."""
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        time.sleep(_CYCLES)
        if service.poll() is not None:
            assert service.stderr is not None
            raise RuntimeError(f"{' '.join(command)} ended: {service.stderr.read()}")
        status = Path(f"/proc/{service.pid}/status").read_text()
    finally:
        service.terminate()
        service.wait(timeout=30)
    line = next(each for each in status.splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
