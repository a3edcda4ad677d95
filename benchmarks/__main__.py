"""Measure, print tables, say which goals are met: ``python -m benchmarks [--quick] [--json FILE]``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks import goals, placement, processes, scenarios, tables
from benchmarks.neighbour import Neighbour
from benchmarks.peers import PeerProcess


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without stopping what we started
    with ExitStack() as stack:
        server = stack.enter_context(placement.running(options.backend))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="placement-reporter-")))
        print(f"{machine()}; Placement: {server.description}\n", flush=True)
        figures = processes.figures(server.url, directory) if options.processes else {}
        peers = [stack.enter_context(each) for each in _peers(server, directory / "peer", options.clients)]
        samples: list[scenarios.Sample] = []
        begun: tuple[int, int] | None = None
        for sample in scenarios.all_samples(
            peers, Neighbour(server.url), options.sizes, options.consumers, options.goes
        ):
            samples.append(sample)
            if begun != (sample.providers, sample.consumers):
                begun = (sample.providers, sample.consumers)
                print("measuring {} providers, {} consumers".format(*begun), file=sys.stderr, flush=True)
            if options.verbose:
                print(f"{sample}", flush=True)
    results = tables.medians(samples)
    print(tables.comparison(results), end="\n\n")
    if figures:
        rows = [(name, _figure(name, value)) for name, value in figures.items()]
        print(tables.table(("process", "measured"), rows), end="\n\n")
    reached = goals.check(results, figures)
    rows_of_goals = [(each.text, each.found, "yes" if each.met else "NO") for each in reached]
    print(tables.table(("goal", "found", "met"), rows_of_goals))
    if options.json:
        document = {
            "machine": machine(),
            "placement": server.description,
            "samples": [asdict(each) for each in samples],
            "processes": figures,
            "goals": [asdict(each) for each in reached],
        }
        options.json.write_text(json.dumps(document, indent=1))


def _options() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(each) for each in text.split(",")]

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=numbers, default=[1, 10, 100, 1000], help="providers of a host")
    parser.add_argument("--consumers", type=numbers, default=[0, 50], help="instances on a host")
    parser.add_argument("--goes", type=int, help="how often each; by default the oftener the smaller")
    parser.add_argument("--quick", dest="sizes", action="store_const", const=[1, 10], help="--sizes 1,10")
    parser.add_argument("--clients", choices=("both", "nova", "ours"), default="both")
    parser.add_argument("--no-processes", dest="processes", action="store_false", help="leave these out")
    parser.add_argument("--backend", choices=("auto", "postgresql", "sqlite"), default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single measurement")
    parser.add_argument("--verbose", action="store_true", help="print measurements as they come")
    return parser.parse_args()


def _peers(server: placement.Placement, state: Path, which: str) -> list[PeerProcess]:
    peers = []
    if which != "ours":
        if importlib.util.find_spec("nova") is None:
            print("Nova is not installed (pip install -e '.[peer]'): ours alone\n")
        else:
            peers.append(PeerProcess(tables.NOVA, "benchmarks.nova_peer", server.url))
    if which != "nova":
        arguments = (server.url, str(state), str(server.connections))
        peers.append(PeerProcess(tables.OURS, "benchmarks.our_peer", *arguments))
    return peers


def machine() -> str:
    """What this runs on, in a line."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} x {cpu}, Python {platform.python_version()}, load {load}"


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []


def _figure(name: str, value: float) -> str:
    return f"{value:.1f} MB" if name == processes.RSS else tables.seconds(value)


if __name__ == "__main__":
    main()
