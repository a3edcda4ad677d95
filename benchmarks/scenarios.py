"""What both clients are made to do, in this order, each with a host of its own on the same Placement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import work as works
from benchmarks.meter import Cost
from benchmarks.neighbour import Neighbour
from benchmarks.peers import PeerProcess

FIRST_SYNC, IDLE, RESTART = "first sync", "idle cycle", "restart"
ONE_CHANGE, EXTERNAL = "one change", "external change"
ADDED, REMOVED, RESHAPE = "10 providers added", "10 providers removed", "reshape"
ALL = (FIRST_SYNC, IDLE, RESTART, ONE_CHANGE, EXTERNAL, ADDED, REMOVED, RESHAPE)

_GOES = {1: 5, 10: 5, 100: 3}  # more is idle waiting at 1,000 providers, where noise is small
_IDLE_CYCLES = {1: 10, 10: 10, 100: 5}
_CHANGES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    :ivar in_next_cycle: of an external change: the next cycle saw it, not only one after a cache had expired
    """

    client: str
    providers: int
    consumers: int
    scenario: str
    cost: Cost
    in_next_cycle: bool | None = None


def all_samples(
    peers: list[PeerProcess], neighbour: Neighbour, sizes: list[int], consumers: list[int], goes: int | None
) -> Iterator[Sample]:
    """Everything, size after size, the clients in turn.

    :param goes: how often each; by default the oftener the smaller
    """
    known = works.with_vgpus_moved(works.with_subtree(works.make_work(max(sizes), "any", 4)))
    neighbour.make_known([known])
    for peer in peers:  # its first requests load half of its libraries
        list(_host(peer, neighbour, f"warm-up-{peer.name}", 3, 1))
    for size in sizes:
        for count in consumers:
            for go in range(goes or _GOES.get(size, 1)):
                for peer in peers:
                    host = f"{peer.name}-{size}-{count}-{go}".replace(" ", "-")
                    yield from _host(peer, neighbour, host, size, count)


def _host(peer: PeerProcess, neighbour: Neighbour, name: str, size: int, consumers: int) -> Iterator[Sample]:
    """The life of one host."""

    def sample(scenario: str, cost: Cost, in_next_cycle: bool | None = None) -> Sample:
        return Sample(peer.name, size, consumers, scenario, cost, in_next_cycle)

    work = works.make_work(size, name, vgpus=2 * consumers)
    peer.begin(work)
    yield sample(FIRST_SYNC, peer.cycle())
    neighbour.check(work)

    neighbour.boot(work.root.uuid, consumers)
    peer.expire()
    peer.cycle()  # has seen the instances
    for _ in range(_IDLE_CYCLES.get(size, 3)):
        yield sample(IDLE, peer.cycle(as_every_minute=True))

    peer.restart()
    yield sample(RESTART, peer.cycle())

    for _ in range(_CHANGES):
        work = works.with_one_change(work)
        peer.wish(work)
        yield sample(ONE_CHANGE, peer.cycle())
    neighbour.check(work)

    neighbour.set_trait(work.leaf.uuid)
    yield sample(EXTERNAL, *_until_seen(peer, work.leaf.uuid))

    for scenario, wanted in ((ADDED, works.with_subtree(work)), (REMOVED, work)):
        peer.wish(wanted)
        yield sample(scenario, peer.cycle())
        neighbour.check(wanted)

    if consumers:
        work = works.with_vgpus_moved(work)
        peer.wish(work)
        yield sample(RESHAPE, peer.cycle())
        neighbour.check(work, consumers)


def _until_seen(peer: PeerProcess, uuid: str) -> tuple[Cost, bool]:
    """The cycle that sees another's trait, and whether it is the next one."""
    cost = peer.cycle()
    if works.CUSTOM_TRAIT_OF_OTHERS in peer.traits_seen(uuid):
        return cost, True
    peer.expire()
    cost = peer.cycle()
    assert works.CUSTOM_TRAIT_OF_OTHERS in peer.traits_seen(uuid), f"{peer.name} never saw the change"
    return cost, False
