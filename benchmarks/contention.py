"""Ten other writers on a host's tree while it changes and is reported: ``python -m benchmarks.contention``.

Each sets and takes back traits, aggregates or allocations of its own as fast as Placement answers. We must
get through with every change, and all that they set must be there in the end.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmarks import placement, tables
from benchmarks.our_peer import WorkDriver
from benchmarks.work import Node, Work, make_work
from reporter.library import connect
from reporter.placement.client import PlacementClient
from reporter.placement.errors import ConcurrentUpdate, InternalError
from reporter.settings import Settings
from reporter.sync import Reporter

WRITERS, CYCLES, PROVIDERS = 10, 200, 5
Atomic = Literal["auto", "off"]


@dataclass
class Outcome:
    """What came of it.

    :ivar overtaken: cycles that gave up because others were quicker; the next one makes their changes
    :ivar wrong: what Placement should have and has not, or the other way round
    """

    atomic: Atomic
    cycles: int = 0
    overtaken: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    requests: int = 0
    writes: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Writer:
    """Writes one kind of record of some providers again and again, as other services do.

    :ivar writes: how often it was not refused
    """

    def __init__(self, url: str, number: int, providers: list[str]) -> None:
        self.writes = 0
        self._client = connect(url=url)
        self._number, self._providers = number, providers
        self._turn = (self._set_trait, self._set_aggregate, self._allocate)[number % 3]
        self._set: set[tuple[str, str, str]] = set()  # provider, kind, name
        self._consumers: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            try:
                self._turn(self._providers[self.writes % len(self._providers)])
            except (ConcurrentUpdate, InternalError):
                continue  # another was quicker; to two writers of traits at once Placement says 500
            self.writes += 1

    def wrong(self) -> list[str]:
        """What it has set and is not there, or has taken away and is there."""
        found = set()
        for provider in self._providers:
            traits, aggregates = self._client.traits(provider)[1], self._client.aggregates(provider)[1]
            found |= {(provider, "trait", each) for each in traits & set(map(self._trait, range(5)))}
            found |= {(provider, "aggregate", each) for each in aggregates & set(map(self._uuid, range(5)))}
        for at in range(7):
            held = self._client.request("GET", f"/allocations/{self._uuid(at)}")["allocations"]
            found |= {(provider, "allocation", self._uuid(at)) for provider in held}
        there = self._set | {(where, "allocation", each) for each, where in self._consumers.items()}
        return [f"writer {self._number}: {' '.join(each)}" for each in sorted(found ^ there)]

    def _trait(self, at: int) -> str:
        return f"CUSTOM_WRITER_{self._number}_{at}"

    def _uuid(self, at: int) -> str:
        return str(uuid.uuid5(uuid.UUID(self._providers[0]), f"writer {self._number} {at}"))

    def _set_trait(self, provider: str) -> None:
        name = self._trait(self.writes % 7 % 5)
        self._client.request("PUT", f"/traits/{name}")
        generation, traits = self._client.traits(provider)
        self._put(provider, "traits", generation, traits ^ {name})
        self._set ^= {(provider, "trait", name)}

    def _set_aggregate(self, provider: str) -> None:
        name = self._uuid(self.writes % 7 % 5)
        generation, aggregates = self._client.aggregates(provider)
        self._put(provider, "aggregates", generation, aggregates ^ {name})
        self._set ^= {(provider, "aggregate", name)}

    def _put(self, provider: str, kind: str, generation: int, members: frozenset[str]) -> None:
        body = {"resource_provider_generation": generation, kind: sorted(members)}
        self._client.request("PUT", f"/resource_providers/{provider}/{kind}", body)

    def _allocate(self, provider: str) -> None:
        consumer = self._uuid(self.writes % 7)
        if consumer in self._consumers:
            self._client.request("DELETE", f"/allocations/{consumer}")
            del self._consumers[consumer]
            return
        resource_class = min(self._client.inventories(provider)[1])
        body = {
            "allocations": {provider: {"resources": {resource_class: 1}}},
            "project_id": "benchmarks",
            "user_id": "benchmarks",
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        self._client.request("PUT", f"/allocations/{consumer}", body)
        self._consumers[consumer] = provider


def contend(
    url: str, state: Path, cycles: int = CYCLES, atomic: Atomic = "auto", connections: int = 1
) -> Outcome:
    """Report a host that changes from cycle to cycle, among writers.

    :param state: a directory of its own
    :param connections: how many requests at once we may send
    """
    outcome = Outcome(atomic)
    work = host(atomic)
    driver = WorkDriver(work)
    settings = Settings(connections=connections, atomic=atomic)
    client = connect(url=url)
    with Reporter(driver, client, state, settings) as reporter, reporter.state.lock():
        reporter.sync_once(work.root.name)
        writers = [Writer(url, number, [each.uuid for each in work.nodes]) for number in range(WRITERS)]
        stop = threading.Event()
        with ThreadPoolExecutor(WRITERS) as executor:
            running = [executor.submit(each.run, stop) for each in writers]
            try:
                for turn in range(cycles):
                    driver.work = changed(driver.work, turn)
                    _cycle(reporter, driver.work, outcome)
                    print(f"\r{atomic}: cycle {turn + 1} of {cycles}", end="", file=sys.stderr, flush=True)
            finally:
                stop.set()
        print(file=sys.stderr)
        for each in running:
            each.result()
        outcome.writes = [each.writes for each in writers]
        reporter.sync_once(work.root.name)
        outcome.wrong += unlike(client, driver.work.nodes, "in the end")
        outcome.wrong += [line for each in writers for line in each.wrong()]
        again = reporter.sync_once(work.root.name).changes
        outcome.wrong += [f"changed once more: {each}" for each in again]
    return outcome


def host(atomic: Atomic) -> Work:
    """What is reported at first: enough of everything for all that the writers may hold."""
    work = make_work(PROVIDERS, f"contended-{atomic}")
    for node in work.nodes:
        node.inventory = {name: {**each, "total": 1000} for name, each in node.inventory.items()}
    return work


def changed(work: Work, turn: int) -> Work:
    """The host with other amounts (more or fewer) and traits of one provider, or two, or three."""
    nodes = list(work.nodes)
    for at in {(turn + more) % len(nodes) for more in range(1 + turn % 3)}:
        inventory = {
            name: {**each, "total": 1000 + 50 * (turn % 4)} for name, each in nodes[at].inventory.items()
        }
        traits = [each for each in nodes[at].traits if not each.startswith("CUSTOM_TURN_")]
        nodes[at] = replace(nodes[at], inventory=inventory, traits=[*traits, f"CUSTOM_TURN_{turn % 3}"])
    return Work(nodes)


def _cycle(reporter: Reporter, work: Work, outcome: Outcome) -> None:
    started, sent = time.perf_counter(), reporter.client.requests_sent
    outcome.cycles += 1
    try:
        reporter.sync_once(work.root.name, service=True)
    except (ConcurrentUpdate, InternalError):
        outcome.overtaken += 1
    else:
        outcome.wrong += unlike(reporter.client, work.nodes, f"after cycle {outcome.cycles}")
    taken = time.perf_counter() - started
    outcome.seconds += taken
    outcome.longest = max(outcome.longest, taken)
    outcome.requests += reporter.client.requests_sent - sent


def unlike(client: PlacementClient, nodes: list[Node], when: str) -> list[str]:
    """Where Placement has not what we want; of traits that it has ours."""
    wrong = []
    for node in nodes:
        if client.inventories(node.uuid)[1] != node.inventory:
            wrong.append(f"{when}: another inventory of {node.name}")
        turns = {each for each in client.traits(node.uuid)[1] if not each.startswith("CUSTOM_WRITER_")}
        turns -= {Settings().owner_trait}
        if turns != set(node.traits):
            wrong.append(f"{when}: other traits of {node.name}: {sorted(turns ^ set(node.traits))}")
    return wrong


def main() -> None:
    """Exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contention", description=__doc__)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--backend", choices=("auto", "postgresql", "sqlite"), default="auto")
    parser.add_argument("--atomic", choices=("auto", "off"), help="only this way of sending inventories")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without stopping what we started
    outcomes: list[Outcome] = []
    ways: tuple[Atomic, ...] = (options.atomic,) if options.atomic else ("auto", "off")
    with placement.running(options.backend) as server:
        print(f"Placement: {server.description}; {WRITERS} writers, {PROVIDERS} providers\n", flush=True)
        for atomic in ways:
            with tempfile.TemporaryDirectory(prefix="placement-reporter-") as state:
                outcomes.append(contend(server.url, Path(state), options.cycles, atomic, server.connections))
    columns: dict[str, Callable[[Outcome], str]] = {
        "atomic": lambda each: each.atomic,
        "cycles": lambda each: str(each.cycles),
        "gave up": lambda each: str(each.overtaken),
        "seconds a cycle": lambda each: f"{each.seconds / each.cycles:.2f}",
        "longest": lambda each: f"{each.longest:.2f}",
        "requests a cycle": lambda each: f"{each.requests / each.cycles:.0f}",
        "their writes": lambda each: str(sum(each.writes)),
        "wrong": lambda each: str(len(each.wrong)),
    }
    print(tables.table(tuple(columns), [tuple(tell(each) for tell in columns.values()) for each in outcomes]))
    for line in [line for each in outcomes for line in each.wrong][:20]:
        print(line)
    sys.exit(any(each.wrong for each in outcomes))


if __name__ == "__main__":
    main()
