"""Other writers, at the worst moments."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provider_tree import ProviderTree
from reporter.placement.errors import ConcurrentUpdate, NotPlacement, Unavailable
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import (
    MARKER,
    Database,
    assert_is,
    assert_same_inventory,
    client_for,
    reporter_for,
)

AGGREGATE = "66666666-6666-4666-8666-666666666666"
Write = Callable[[Any, str], None]


def add_trait(placement: Any, provider: str) -> None:
    traits = placement.get(f"/resource_providers/{provider}/traits")["traits"]
    placement.set_traits(provider, *traits, "CUSTOM_OTHERS")


def add_aggregate(placement: Any, provider: str) -> None:
    aggregates = placement.get(f"/resource_providers/{provider}/aggregates")["aggregates"]
    placement.set_aggregates(provider, *aggregates, AGGREGATE)


def add_class(placement: Any, provider: str) -> None:
    inventory = placement.get(f"/resource_providers/{provider}/inventories")["inventories"]
    placement.set_inventory(provider, {**inventory, "CUSTOM_OTHERS": 1})


def has_what_they_set(placement: Any, name: str, write: Write) -> bool:
    provider = placement.tree()[name]
    if write is add_trait:
        return "CUSTOM_OTHERS" in provider["traits"]
    return AGGREGATE in provider["aggregates"] or "CUSTOM_OTHERS" in provider["inventory"]


def everything_changes() -> ProviderTree:
    """``host_tree("gpu0")`` with other contents, and the child under another name and parent."""
    tree = host_tree("gpu0", vcpus=10)
    tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_SECOND"])
    tree.update_aggregates("node", ["77777777-7777-4777-8777-777777777777"])
    tree.new_child("between", "node")
    tree.move("gpu0", "between")
    tree.rename("gpu0", "gpu-zero")
    tree.update_inventory("gpu-zero", {"VGPU": {"total": 5}})
    tree.update_traits("gpu-zero", ["CUSTOM_GPU", "CUSTOM_SECOND"])
    tree.update_aggregates("gpu-zero", ["77777777-7777-4777-8777-777777777777"])
    return tree


@pytest.mark.parametrize(
    ("target", "write", "atomic"),
    [
        ("gpu0", add_trait, "auto"),
        ("gpu0", add_aggregate, "off"),
        ("gpu0", add_class, "auto"),
        ("gpu0", add_class, "off"),
        ("node", add_trait, "off"),
    ],
)
def test_second_writer_before_any_of_our_requests_loses_nothing(
    placement: Any, tmp_path: Path, target: str, write: Write, atomic: str
) -> None:
    """The other one writes to a provider, once, before our first request, before the second, and so on."""
    driver = TreeDriver(host_tree("gpu0"))
    first, second = driver.tree, everything_changes()
    with reporter_for(driver, placement.url, tmp_path / "state", atomic=atomic) as reporter:
        reporter.sync_once("node")
    database = Database(placement)
    content = database.save()
    provider = first.provider(target).uuid
    moment, over = 0, False
    while not over:
        database.restore(content)
        state = shutil.copytree(tmp_path / "state", tmp_path / f"state {moment}")
        driver.tree = second
        placement.hook = before_request(moment, lambda: write(placement, provider))
        with reporter_for(driver, placement.url, state, atomic=atomic) as reporter:
            reporter.sync_once("node")
            over = not placement.hook.over
            placement.hook = None
            if not over:
                name = second.provider(provider).name
                assert has_what_they_set(placement, name, write), moment
                # What we believe of Placement is right, too.
                again = reporter.sync_once("node")
                assert not again.changes, moment
                undo(placement, provider, write)
        assert_is(placement, second)
        moment += 1
    assert moment > 7


class before_request:  # noqa: N801 - reads as a description
    """A hook that does something once, before the request with that number."""

    def __init__(self, number: int, do: Callable[[], object]) -> None:
        self._left, self._do = number, do
        self.over = False

    def __call__(self, _method: str, _path: str) -> None:
        if self._left == 0:
            self.over = True
            self._do()
        self._left -= 1


def undo(placement: Any, provider: str, write: Write) -> None:
    base = f"/resource_providers/{provider}"
    if write is add_trait:
        traits = set(placement.get(f"{base}/traits")["traits"]) - {"CUSTOM_OTHERS"}
        placement.set_traits(provider, *traits)
    elif write is add_aggregate:
        placement.set_aggregates(
            provider, *(set(placement.get(f"{base}/aggregates")["aggregates"]) - {AGGREGATE})
        )
    else:
        inventory = placement.get(f"{base}/inventories")["inventories"]
        del inventory["CUSTOM_OTHERS"]
        placement.set_inventory(provider, inventory)


@pytest.mark.parametrize("atomic", ["auto", "off"])
def test_provider_deleted_by_others_before_any_of_our_requests(
    placement: Any, tmp_path: Path, atomic: str
) -> None:
    driver = TreeDriver(host_tree("gpu0", "gpu1"))
    first = driver.tree
    with reporter_for(driver, placement.url, tmp_path / "state", atomic=atomic) as reporter:
        reporter.sync_once("node")
    second = host_tree("gpu0", "gpu1", vcpus=9)
    second.update_inventory("gpu0", {"VGPU": {"total": 3}})  # less: its usages are asked for
    second.update_traits("gpu0", ["CUSTOM_NEW"])
    second.update_aggregates("gpu0", [AGGREGATE])
    gpu0 = first.provider("gpu0").uuid
    database = Database(placement)
    content = database.save()
    moment, over = 0, False
    while not over:
        database.restore(content)
        state = shutil.copytree(tmp_path / "state", tmp_path / f"state {moment}")
        driver.tree = second
        placement.hook = before_request(moment, lambda: placement.delete(f"/resource_providers/{gpu0}"))
        with reporter_for(driver, placement.url, state, atomic=atomic) as reporter:
            reporter.sync_once("node")
            over = not placement.hook.over
            placement.hook = None
            reporter.sync_once("node")
        assert_is(placement, second)
        moment += 1
    assert moment > 4


def test_provider_that_comes_into_use_before_it_is_deleted_stays(placement: Any, tmp_path: Path) -> None:
    """Its allocations come after we looked whether there are any."""
    driver = TreeDriver(host_tree("gpu0"))
    gpu0 = driver.tree.provider("gpu0").uuid
    consumers: list[str] = []

    def hook(method: str, path: str) -> None:
        if method == "DELETE" and not consumers:
            consumers.append(placement.allocate({gpu0: {"VGPU": 1}}))

    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree = host_tree()
        placement.hook = hook
        report = reporter.sync_once("node")
        assert [each.change.provider for each in report.held] == ["gpu0"]
    assert placement.allocations(consumers[0]) == {gpu0: {"VGPU": 1}}


def test_capacity_that_comes_into_use_before_it_shrinks_stays(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree(vcpus=8))
    consumers: list[str] = []

    def hook(method: str, path: str) -> None:
        if method == "PUT" and path.endswith("/inventories") and not consumers:
            consumers.append(placement.allocate({str(driver.uuid): {"VCPU": 6}}))

    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree = host_tree(vcpus=4)
        placement.hook = hook
        report = reporter.sync_once("node")
        assert [each.change.resource_class for each in report.held] == ["VCPU"]
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 8


def test_writer_who_is_always_quicker_is_an_error_that_says_so(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    flip = [0]

    def hook(method: str, path: str) -> None:
        if method != "GET":
            flip[0] += 1
            placement.set_traits(driver.uuid, "COMPUTE_NODE", f"CUSTOM_{flip[0]}")

    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree.update_aggregates("node", [AGGREGATE])
        placement.hook = hook
        with pytest.raises(ConcurrentUpdate) as error:
            reporter.sync_once("node")
        assert error.value.advice
        placement.hook = None
        reporter.sync_once("node")
    assert placement.tree()["node"]["aggregates"] == [AGGREGATE]


@pytest.mark.parametrize("there_is", [True, False])
def test_writer_at_the_same_moment_of_whom_placement_only_says_that_it_broke(
    placement: Any, tmp_path: Path, there_is: bool
) -> None:
    """With several workers Placement answers 500 to the one of two writers of traits who is too late."""
    driver = TreeDriver(host_tree("gpu0"))
    gpu0 = driver.tree.provider("gpu0").uuid
    broken = iter([("500 Internal Server Error", b"{}")])

    def hook(method: str, path: str) -> tuple[str, bytes] | None:
        if (method, path) != ("PUT", f"/resource_providers/{gpu0}/traits"):
            return None
        answer = next(broken, None)
        if answer and there_is:
            add_trait(placement, gpu0)
        return answer

    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree.update_traits("gpu0", ["CUSTOM_GPU", "CUSTOM_SECOND"])
        placement.hook = hook
        if there_is:
            reporter.sync_once("node")
            assert {"CUSTOM_SECOND", "CUSTOM_OTHERS"} <= set(placement.tree()["gpu0"]["traits"])
        else:
            with pytest.raises(Unavailable):
                reporter.sync_once("node")


@pytest.mark.parametrize("answer", [("204 No Content", b""), ("200 OK", b"{}")])
def test_write_that_only_a_proxy_says_was_made_is_made_later(
    placement: Any, tmp_path: Path, answer: tuple[str, bytes]
) -> None:
    """Were it taken for made, the class would be nobody's from then on, and stay for ever."""
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree.update_inventory("gpu0", {})
        placement.hook = lambda method, path: (
            answer if path.endswith("/inventories") and method == "PUT" else None
        )
        with pytest.raises(NotPlacement):
            reporter.sync_once("node")
        placement.hook = None
        reporter.sync_once("node")
    assert not placement.tree()["gpu0"]["inventory"]


def test_writers_who_are_quicker_ten_times_in_a_row_end_the_attempt_not_the_cycle(
    placement: Any, tmp_path: Path
) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    gpu0 = driver.tree.provider("gpu0").uuid
    writes = iter(range(10))

    def hook(method: str, path: str) -> tuple[str, bytes] | None:
        if (method, path) != ("PUT", f"/resource_providers/{gpu0}/traits"):
            return None
        number = next(writes, None)
        if number is None:
            return None
        placement.set_traits(gpu0, f"CUSTOM_{number}")
        return "500 Internal Server Error", b"{}"

    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree.update_traits("gpu0", ["CUSTOM_GPU", "CUSTOM_SECOND"])
        placement.hook = hook
        reporter.sync_once("node")
    assert {"CUSTOM_SECOND", "CUSTOM_9"} <= set(placement.tree()["gpu0"]["traits"])


def test_tree_that_changes_while_it_is_read_is_read_again(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0", "gpu1"))
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync_once("node")
    writes = ["traits", "aggregates"]

    def hook(method: str, path: str) -> None:
        what = path.rpartition("/")[2]
        if method == "GET" and str(driver.uuid) in path and what in writes:
            writes.remove(what)
            (add_aggregate if what == "aggregates" else add_trait)(placement, str(driver.uuid))

    placement.hook = hook
    (tmp_path / "state" / "nodes" / "node.snapshot.json").unlink()
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        report = reporter.sync_once("node")
    assert not writes
    assert "CUSTOM_OTHERS" in report.current.provider("node").traits
    assert AGGREGATE in report.current.provider("node").aggregates


def test_provider_that_vanishes_while_another_is_read_leaves_no_stale_record(
    placement: Any, tmp_path: Path
) -> None:
    """One provider moved and is read; a new one is listed and gone before it is read."""
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        add_trait(placement, str(driver.uuid))
        passing = placement.add_provider("passing", driver.uuid)

        def hook(method: str, path: str) -> None:
            if passing in path:
                placement.hook = None
                placement.delete(f"/resource_providers/{passing}")

        placement.hook = hook
        report = reporter.sync_once("node")
        assert placement.hook is None
        assert "CUSTOM_OTHERS" in report.current.provider("node").traits


def in_threads(*calls: Callable[[], None]) -> None:
    """Run them side by side; the first failure fails the test."""
    failures: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_reporters_of_different_nodes_at_the_same_time(placement: Any, tmp_path: Path) -> None:
    trees = [
        host_tree(f"node{n}-gpu0", f"node{n}-gpu1", root=f"node{n}", uuid=str(uuid.uuid4())) for n in range(4)
    ]

    def work(tree: ProviderTree) -> Callable[[], None]:
        def run() -> None:
            driver = TreeDriver(tree.copy())
            with reporter_for(driver, placement.url, tmp_path / driver.node, connections=3) as reporter:
                for total in range(10, 14):
                    driver.tree.update_inventory(driver.node, {"VCPU": {"total": total}})
                    driver.tree.update_traits(driver.node, [f"CUSTOM_ROUND_{total}"])
                    reporter.sync_once(driver.node)
                tree.replace(driver.tree.provider(driver.node))

        return run

    in_threads(*map(work, trees))
    merged = ProviderTree.from_providers(each for tree in trees for each in tree.providers())
    assert_is(placement, merged)


@pytest.mark.parametrize("exists", [True, False])
def test_two_reporters_of_one_node_with_the_same_wishes(placement: Any, tmp_path: Path, exists: bool) -> None:
    if exists:
        placement.add_provider("node", uuid_=host_tree().provider("node").uuid)

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            driver = TreeDriver(host_tree("gpu0"))
            with reporter_for(driver, placement.url, tmp_path / name, connections=2) as reporter:
                for vcpus in (8, 12, 16):
                    driver.tree = host_tree("gpu0", "gpu1", vcpus=vcpus)
                    reporter.sync_once("node", adopt=True)

        return run

    in_threads(work("one"), work("other"))
    assert_is(placement, host_tree("gpu0", "gpu1", vcpus=16), not_marked=["node"] if exists else [])
    for name in ("one", "other"):
        driver = TreeDriver(host_tree("gpu0", "gpu1", vcpus=16))
        with reporter_for(driver, placement.url, tmp_path / name) as reporter:
            assert not reporter.sync_once("node").changes
    # Either of them may then want less: what both had set goes.
    driver = TreeDriver(host_tree("gpu0", vcpus=16))
    for name in ("one", "other"):
        with reporter_for(driver, placement.url, tmp_path / name) as reporter:
            reporter.sync_once("node")
    assert "gpu1" not in placement.tree()


def test_one_reporter_in_several_threads(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path, connections=2) as reporter:

        def sync() -> None:
            for total in range(10, 14):
                driver.tree.update_inventory("gpu0", {"VGPU": {"total": total}})
                assert reporter.sync("node").applied

        def diff() -> None:
            for _ in range(4):
                assert not reporter.diff("node").applied

        in_threads(sync, diff, sync, diff)
        assert not reporter.sync("node").changes
    assert_is(placement, driver.tree)


class Writer:
    """Reads and writes one kind of record of some providers again and again, as another service does.

    :ivar wrote: how often it was not refused
    """

    def __init__(self, placement: Any, number: int, providers: list[str]) -> None:
        self._client = client_for(placement.url)
        self._number, self._providers = number, providers
        self.wrote = 0
        self.traits: dict[str, set[str]] = {each: set() for each in providers}
        self.aggregates: dict[str, set[str]] = {each: set() for each in providers}
        self.held: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        turn = 0
        while not stop.is_set():
            provider = self._providers[turn % len(self._providers)]
            try:
                (self._trait, self._aggregate, self._allocation)[self._number % 3](provider, turn)
            except ConcurrentUpdate:
                continue  # as they all do: read again
            self.wrote += 1
            turn += 1

    def _trait(self, provider: str, turn: int) -> None:
        name = f"CUSTOM_WRITER_{self._number}_{turn % 5}"
        self._client.request("PUT", f"/traits/{name}")
        generation, traits = self._client.traits(provider)
        body = {"resource_provider_generation": generation, "traits": sorted(traits ^ {name})}
        self._client.request("PUT", f"/resource_providers/{provider}/traits", body)
        self.traits[provider] ^= {name}

    def _aggregate(self, provider: str, turn: int) -> None:
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._number} {turn % 5}"))
        generation, aggregates = self._client.aggregates(provider)
        body = {"resource_provider_generation": generation, "aggregates": sorted(aggregates ^ {name})}
        self._client.request("PUT", f"/resource_providers/{provider}/aggregates", body)
        self.aggregates[provider] ^= {name}

    def _allocation(self, provider: str, turn: int) -> None:
        consumer = str(uuid.uuid5(uuid.NAMESPACE_OID, f"consumer {self._number} {turn % 7}"))
        if consumer in self.held:
            self._client.request("DELETE", f"/allocations/{consumer}")
            del self.held[consumer]
            return
        resource_class = next(iter(self._client.inventories(provider)[1]))
        body = {
            "allocations": {provider: {"resources": {resource_class: 1}}},
            "project_id": "p",
            "user_id": "u",
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        self._client.request("PUT", f"/allocations/{consumer}", body)
        self.held[consumer] = provider


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_writers_hammer_the_tree_while_we_sync(placement: Any, tmp_path: Path) -> None:
    """We write traits and inventories, which grow and shrink, of one provider or of two in each cycle."""
    names = [f"gpu{n}" for n in range(4)]
    driver = TreeDriver(host_tree(*names, vcpus=100))
    for name in names:
        driver.tree.update_inventory(name, {"VGPU": {"total": 100}})
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        providers = [each.uuid for each in driver.tree.providers()]
        writers = [Writer(placement, number, providers) for number in range(10)]
        stop = threading.Event()
        failed: list[ConcurrentUpdate] = []

        def sync() -> None:
            try:
                for turn in range(6):
                    for name in (names * 2)[turn % 4 :][: 1 + turn % 2]:
                        driver.tree.update_inventory(name, {"VGPU": {"total": 120 - turn % 3}})
                        driver.tree.update_traits(name, [f"CUSTOM_TURN_{turn % 3}"])
                    try:
                        reporter.sync_once("node")
                    except ConcurrentUpdate as error:
                        failed.append(error)
            finally:
                stop.set()

        in_threads(sync, *((lambda writer=writer: writer.run(stop)) for writer in writers))
        reporter.sync_once("node")
    assert min(writer.wrote for writer in writers) > 5, "nobody was there to disturb us"
    assert len(failed) <= 2
    tree = {each["uuid"]: each for each in placement.tree().values()}
    for provider in driver.tree.providers():
        found = tree[provider.uuid]
        theirs: set[str] = set().union(*(writer.traits[provider.uuid] for writer in writers))
        assert {each for each in found["traits"] if each.startswith("CUSTOM_WRITER_")} == theirs
        theirs = set().union(*(writer.aggregates[provider.uuid] for writer in writers))
        assert set(found["aggregates"]) == theirs
        ours = {each for each in found["traits"] if not each.startswith("CUSTOM_WRITER_")}
        assert ours == {*provider.traits, MARKER}
        assert_same_inventory(found["inventory"], provider.inventory)
    for writer in writers:
        for consumer, holder in writer.held.items():
            assert list(placement.allocations(consumer)) == [holder]
