"""A reshape that cannot be, or must not be, changes nothing at all, and says whose allocations they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ReshapeFailed, ReshapeNeeded
from drivers.reshape import move_allocations
from drivers.static.driver import StaticDriver
from provider_tree import Kind, ProviderTree
from reporter.errors import StateError
from reporter.placement.errors import Forbidden
from tests.drivers.static.test_driver import make_driver, write_document
from tests.functional.drivers import host_tree
from tests.functional.reporting import assert_is, reporter_for
from tests.functional.reshaping import Move, Node, flat_tree, nested_tree, to_first

STRANGER = "99999999-9999-4999-8999-999999999999"


@pytest.fixture
def node(placement: Any, tmp_path: Path) -> Node:
    made = Node(placement, tmp_path / "state")
    made.sync()
    return made


def everything(placement: Any, *consumers: str) -> Any:
    """What Placement has, generations and custom names included."""
    providers = placement.get("/resource_providers")["resource_providers"]
    names = placement.get("/traits?name=startswith:CUSTOM_")["traits"]
    allocations = [placement.get(f"/allocations/{each}") for each in consumers]
    return providers, placement.tree(), names, placement.get("/resource_classes"), allocations


def first(allocations: Any) -> Any:
    return allocations[min(allocations)]["allocations"]


def loses(tree: ProviderTree, allocations: Any) -> None:
    to_first(tree, allocations)
    first(allocations)[tree.provider("gpu0").uuid]["resources"]["VGPU"] -= 1


def loses_all(tree: ProviderTree, allocations: Any) -> None:
    to_first(tree, allocations)
    del first(allocations)[tree.provider("gpu0").uuid]


def invents(tree: ProviderTree, allocations: Any) -> None:
    to_first(tree, allocations)
    first(allocations)[tree.provider("gpu0").uuid]["resources"]["VGPU"] += 1


def drops_a_consumer(tree: ProviderTree, allocations: Any) -> None:
    to_first(tree, allocations)
    del allocations[min(allocations)]


def adds_a_consumer(tree: ProviderTree, allocations: Any) -> None:
    to_first(tree, allocations)
    allocations[STRANGER] = allocations[min(allocations)]


def changes_the_class(tree: ProviderTree, allocations: Any) -> None:
    to_first(tree, allocations)
    root = next(tree.providers()).uuid
    move_allocations(allocations, "VCPU", root, root, to_class="MEMORY_MB")


def takes_from_a_provider_more_than_is_there(tree: ProviderTree, allocations: Any) -> None:
    root, gpu0 = (tree.provider(each).uuid for each in ("node", "gpu0"))
    held = first(allocations)
    held[gpu0] = {"resources": {"VGPU": held[root]["resources"]["VGPU"] + 1}}
    held[root]["resources"]["VGPU"] = -1


def moves_halves(tree: ProviderTree, allocations: Any) -> None:
    root, gpu0 = (tree.provider(each).uuid for each in ("node", "gpu0"))
    held = first(allocations)
    held[root]["resources"]["VGPU"] = held[gpu0] = {"resources": {"VGPU": 0.5}}


def leaves_no_allocations(tree: ProviderTree, allocations: Any) -> None:
    allocations[min(allocations)] = {"project_id": "x", "user_id": "y"}


def moves_out_of_the_tree(_tree: ProviderTree, allocations: Any) -> None:
    move_allocations(allocations, "VGPU", next(iter(first(allocations))), STRANGER)


def asks_again(_tree: ProviderTree, _allocations: Any) -> None:
    raise ReshapeNeeded


def gives_up(_tree: ProviderTree, allocations: Any) -> None:
    raise ReshapeFailed(f"consumer {min(allocations)} is not known to the hypervisor")


BAD_MOVES: list[Move] = [
    loses,
    loses_all,
    invents,
    drops_a_consumer,
    adds_a_consumer,
    changes_the_class,
    takes_from_a_provider_more_than_is_there,
    moves_halves,
    leaves_no_allocations,
    moves_out_of_the_tree,
    asks_again,
    gives_up,
]


def test_driver_that_does_not_conserve_what_consumers_hold(node: Node, placement: Any) -> None:
    held = [placement.allocate({node.root: {"VGPU": 2, "VCPU": 1}}) for _ in range(2)]
    before = everything(placement, *held)
    kept = sorted((node.state / "nodes").iterdir())
    for move in BAD_MOVES:
        node.wants(nested_tree("gpu0"), move)
        for dry_run in (True, False):
            with pytest.raises(ReshapeFailed) as error:
                node.sync(dry_run=dry_run)
            if move is asks_again:
                assert "node" in error.value.what
            else:
                named = STRANGER if move is adds_a_consumer else min(held)
                assert named in error.value.what, (move.__name__, error.value.what)
        assert everything(placement, *held) == before, move.__name__
    assert sorted((node.state / "nodes").iterdir()) == kept
    assert not (node.state / "allocations").exists()
    node.wants(nested_tree("gpu0"))
    node.sync()
    assert_is(placement, nested_tree("gpu0"))


def test_destination_without_room(node: Node, placement: Any) -> None:
    one, other = sorted(placement.allocate({node.root: {"VGPU": 3}}) for _ in range(2))
    before = everything(placement, one, other)
    for record in (
        {"vgpus": 5},
        {"vgpus": 6, "reserved": 1},
        {"vgpus": 10, "allocation_ratio": 0.5},
        {"vgpus": 8, "max_unit": 2},
        {"vgpus": 8, "min_unit": 4},
        {"vgpus": 8, "step_size": 2},
    ):
        node.wants(nested_tree("gpu0", **record))
        with pytest.raises(ReshapeFailed) as error:
            node.sync()
        assert one in error.value.what or other in error.value.what
        assert "gpu0" in error.value.what
        assert error.value.advice
        assert everything(placement, one, other) == before, record
    tree = nested_tree("gpu0", vgpus=4, reserved=1, allocation_ratio=2.0, min_unit=3, max_unit=3, step_size=3)
    node.wants(tree)
    node.sync()
    assert_is(placement, tree)


def test_what_a_consumer_keeps_must_fit_too_since_it_is_written_again(node: Node, placement: Any) -> None:
    """Placement looks at all allocations of the consumer, also at those that do not move."""
    held = placement.allocate({node.root: {"VGPU": 1, "VCPU": 6}})
    tree = nested_tree("gpu0")
    tree.update_inventory("node", {"VCPU": {"total": 8, "max_unit": 4}})
    node.wants(tree)
    before = everything(placement, held)
    with pytest.raises(ReshapeFailed, match=f"{held}.*6 VCPU of node"):
        node.sync()
    assert everything(placement, held) == before


def test_node_that_is_overcommitted_already_may_be_reshaped(node: Node, placement: Any) -> None:
    """As after its allocation ratio was lowered: Placement lets it be, as long as it gets no worse."""
    held = placement.allocate({node.root: {"VGPU": 1, "VCPU": 6}})
    placement.set_inventory(node.root, {"VGPU": 16, "VCPU": 4})
    tree = nested_tree("gpu0")
    tree.update_inventory("node", {"VCPU": {"total": 4}})
    node.wants(tree)
    node.sync()
    assert_is(placement, tree)
    assert placement.allocations(held) == {node.root: {"VCPU": 6}, tree.provider("gpu0").uuid: {"VGPU": 1}}


def test_other_tree_that_refuses_what_it_holds_is_named_by_placement(node: Node, placement: Any) -> None:
    """Its inventory is not ours to know."""
    storage = placement.add_provider("storage")
    placement.set_inventory(storage, {"DISK_GB": 100})
    held = placement.allocate({node.root: {"VGPU": 1}, storage: {"DISK_GB": 50}})
    placement.set_inventory(storage, {"DISK_GB": {"total": 100, "max_unit": 20}})
    before = placement.allocations(held)
    node.wants(nested_tree("gpu0"))
    with pytest.raises(ReshapeFailed, match=storage) as error:
        node.sync()
    assert error.value.advice
    assert placement.allocations(held) == before
    assert placement.tree()["node"]["inventory"].keys() == {"VCPU", "VGPU"}


@pytest.mark.parametrize("why", ["role", "policy"])
def test_role_that_is_missing_changes_nothing_not_even_what_comes_before(
    placement: Any, tmp_path: Path, why: str
) -> None:
    node = Node(placement, tmp_path)
    node.sync()
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    tree.update_inventory("gpu0", {"VGPU": {"total": 8}, "CUSTOM_NEW_CLASS": {"total": 1}})
    node.wants(tree)
    if why == "role":
        node.start(roles="admin")
    else:
        answer = {"errors": [{"status": 403, "title": "Forbidden", "detail": "policy"}]}
        placement.hook = lambda _method, path: (
            ("403 Forbidden", json.dumps(answer).encode()) if path == "/reshaper" else None
        )
    before, kept = everything(placement, held), ledger_of(node)
    told = [each for each in node.reporter.diff("node").notices if "role service" in each]
    assert bool(told) == (why == "role")
    for _ in range(3):
        with pytest.raises(Forbidden) as error:
            node.sync()
        assert "service" in error.value.advice
        assert everything(placement, held) == before
        assert ledger_of(node) == kept
    # All else goes on as long as nothing must move.
    flat = flat_tree(VCPU={"total": 10})
    node.wants(flat, needed=lambda _tree: False)
    node.sync()
    assert_is(placement, flat)
    # And with the role it goes through.
    placement.hook = None
    node.wants(tree)
    with node.start():
        node.sync()
    assert_is(placement, tree)
    assert placement.allocations(held) == {tree.provider("gpu0").uuid: {"VGPU": 2}}


def ledger_of(node: Node) -> str:
    return (node.state / "nodes" / "node.ledger.json").read_text()


def test_root_of_others_is_not_reshaped(placement: Any, tmp_path: Path) -> None:
    root = placement.add_provider("node", uuid_=host_tree().provider("node").uuid)
    placement.set_inventory(root, {"VCPU": 8, "VGPU": 16})
    held = placement.allocate({root: {"VGPU": 2}})
    node = Node(placement, tmp_path, manage="children")
    node.wants(nested_tree("gpu0"))
    before = everything(placement, held)
    for dry_run in (True, False):
        with pytest.raises(ReshapeFailed, match=held) as error:
            node.sync(dry_run=dry_run)
        assert "manage" in error.value.advice
        assert everything(placement, held) == before


# What is kept of allocations


def saved(node: Node) -> list[Path]:
    directory = node.state / "allocations"
    return sorted(directory.iterdir()) if directory.exists() else []


def test_allocations_as_they_were_are_enough_to_put_them_back(node: Node, placement: Any) -> None:
    storage = placement.add_provider("storage")
    placement.set_inventory(storage, {"DISK_GB": 100})
    held = [placement.allocate({node.root: {"VGPU": n, "VCPU": 1}, storage: {"DISK_GB": n}}) for n in (1, 2)]
    bystander = placement.allocate({node.root: {"VCPU": 1}})
    before = {each: placement.get(f"/allocations/{each}")["allocations"] for each in (*held, bystander)}
    node.wants(nested_tree("gpu0"))
    node.sync()

    [file] = saved(node)
    document = json.loads(file.read_text())
    assert document["node"] == "node"
    assert set(document["allocations"]) == set(held)
    # By hand: the inventory comes back, then each consumer gets what the file says.
    placement.set_inventory(node.root, {"VCPU": 8, "VGPU": 16})
    for uuid, allocation in document["allocations"].items():
        now = placement.get(f"/allocations/{uuid}")["consumer_generation"]
        placement.put(f"/allocations/{uuid}", {**allocation, "consumer_generation": now})
    for each in held:
        now = placement.get(f"/allocations/{each}")["allocations"]
        assert {uuid: found["resources"] for uuid, found in now.items()} == {
            uuid: found["resources"] for uuid, found in before[each].items()
        }


def test_nothing_moves_where_it_cannot_be_kept(node: Node, placement: Any) -> None:
    held = placement.allocate({node.root: {"VGPU": 1}})
    (node.state / "allocations").write_text("not a directory")
    before = everything(placement, held)
    node.wants(nested_tree("gpu0"))
    with pytest.raises(StateError, match="allocations"):
        node.sync()
    assert everything(placement, held) == before


# The static driver


FLAT = [{"name": "node1", "inventory": {"VCPU": 8, "VGPU": 16}}]


def nested(*gpus: str) -> list[dict[str, Any]]:
    children = [{"name": each, "parent": "node1", "inventory": {"VGPU": 8}} for each in gpus]
    return [{"name": "node1", "inventory": {"VCPU": 8}}, *children]


def test_document_that_moves_a_class(placement: Any, tmp_path: Path) -> None:
    driver: StaticDriver = make_driver(tmp_path, FLAT)
    path = tmp_path / "tree.yaml"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        root = reporter.sync_once("node1").root_uuid
        one, other = sorted(placement.allocate({root: {"VGPU": 2, "VCPU": 1}}) for _ in range(2))

        # Several destinations, and nothing says who goes where.
        before = everything(placement, one, other)
        write_document(path, nested("g0", "g1"))
        with pytest.raises(ReshapeFailed, match=f"{one}, {other}") as error:
            reporter.sync_once("node1")
        assert "reshape: [{class: VGPU, from: node1, to: NAME" in error.value.advice
        assert everything(placement, one, other) == before

        # The document says it.
        rules = [
            {"class": "VGPU", "from": "node1", "to": "g1", "consumers": [one]},
            {"class": "VGPU", "from": "node1", "to": "g0"},
        ]
        write_document(path, nested("g0", "g1"), reshape=rules)
        report = reporter.sync_once("node1")
        assert [each.consumer for each in report.changes if each.kind is Kind.ALLOCATIONS] == [one, other]
        g0, g1 = placement.uuid_of("g0"), placement.uuid_of("g1")
        assert placement.allocations(one) == {root: {"VCPU": 1}, g1: {"VGPU": 2}}
        assert placement.allocations(other) == {root: {"VCPU": 1}, g0: {"VGPU": 2}}

        # One destination needs no saying: g2 in place of both.
        write_document(path, nested("g2"))
        reporter.sync_once("node1")
        g2 = placement.uuid_of("g2")
        assert placement.allocations(one) == {root: {"VCPU": 1}, g2: {"VGPU": 2}}
        assert set(placement.tree()) == {"node1", "g2"}

        # A class becomes another, as the document says.
        pinned = [{"name": "node1", "inventory": {"PCPU": 8}}, *nested("g2")[1:]]
        rule = {"class": "VCPU", "from": "node1", "to": "node1", "to_class": "PCPU"}
        write_document(path, pinned, reshape=[rule])
        reporter.sync_once("node1")
        assert placement.allocations(other) == {root: {"PCPU": 1}, g2: {"VGPU": 2}}
        assert set(placement.tree()["node1"]["inventory"]) == {"PCPU"}
        assert not reporter.sync_once("node1").changes


def test_document_that_moves_a_class_to_where_it_is_not(placement: Any, tmp_path: Path) -> None:
    """As when a reshape section was left behind and the inventories have changed since."""
    driver: StaticDriver = make_driver(tmp_path, FLAT)
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        root = reporter.sync_once("node1").root_uuid
        held = placement.allocate({root: {"VGPU": 2}})
        before = everything(placement, held)
        children = [*nested("g0"), {"name": "g1", "parent": "node1", "inventory": {"DISK_GB": 1}}]
        rule = {"class": "VGPU", "from": "node1", "to": "g1"}
        write_document(tmp_path / "tree.yaml", children, reshape=[rule])
        with pytest.raises(ReshapeFailed, match=f"{held}.* to g1, says the document") as error:
            reporter.sync_once("node1")
        assert "g1" in error.value.advice
        assert everything(placement, held) == before


def test_class_that_has_been_there_all_along_is_no_destination(placement: Any, tmp_path: Path) -> None:
    """Also where another agent made the providers, and the classes on one of them are ours."""
    g0 = {"name": "g0", "parent": "node1", "inventory": {"CUSTOM_FPGA": 8}}
    driver: StaticDriver = make_driver(tmp_path, [FLAT[0], g0])
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        root = placement.add_provider("node1")
        for name in ("g0", "g1"):
            provider = placement.add_provider(name, root)
            placement.set_inventory(provider, {"CUSTOM_FPGA": 4})
            held = placement.allocate({provider: {"CUSTOM_FPGA": 1}})
        reporter.sync_once("node1", adopt=True)
        before = everything(placement, held)
        for _ in range(2):
            assert not reporter.sync_once("node1").changes
        assert everything(placement, held) == before


def test_class_of_a_neighbour_does_not_leave_for_that_of_a_document(placement: Any, tmp_path: Path) -> None:
    """Many agents mark nothing as theirs; what the document does not name has to be ours to go."""
    driver: StaticDriver = make_driver(tmp_path, [{"name": "node1", "inventory": {"VCPU": 8}}])
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        root = reporter.sync_once("node1").root_uuid
        theirs = placement.add_provider("theirs", root)
        placement.set_inventory(theirs, {"VGPU": 4})
        held = placement.allocate({theirs: {"VGPU": 2}})
        before = placement.tree()["theirs"]

        write_document(tmp_path / "tree.yaml", nested("g0"))
        reporter.sync_once("node1")
        assert placement.tree()["theirs"] == before
        assert placement.allocations(held) == {theirs: {"VGPU": 2}}
        assert placement.tree()["g0"]["inventory"]["VGPU"]["total"] == 8

        # Where it is to be taken over, the document says so.
        rule = {"class": "VGPU", "from": "theirs", "to": "g1"}
        write_document(tmp_path / "tree.yaml", nested("g0", "g1"), reshape=[rule])
        reporter.sync_once("node1")
        assert set(placement.tree()) == {"node1", "g0", "g1"}
        assert placement.allocations(held) == {placement.uuid_of("g1"): {"VGPU": 2}}
