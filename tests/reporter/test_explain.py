"""Where values come from, and why they change: what can be told from trees, notes and a ledger alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from provider_tree import ProviderTree, Source, diff
from provider_tree.errors import UnsupportedChange
from reporter.explain import Teller, explain
from reporter.plan import Plan
from reporter.policy import Held
from reporter.report import Report
from reporter.state.ledger import Entry, Ledger
from tests.strategies import tree_pairs

MARK = "CUSTOM_OWNER"
AGGREGATE = "0d1a3a57-6f5b-4f0e-9d4c-7d8c2a6ad0c1"


def host(**fields: Any) -> ProviderTree:
    tree = ProviderTree()
    root = tree.new_root("node", "11111111-1111-4111-8111-111111111111", 3)
    tree.update_inventory(root, fields.get("inventory", {"VCPU": {"total": 8}}))
    tree.update_traits(root, fields.get("traits", []))
    tree.update_aggregates(root, fields.get("aggregates", []))
    return tree


def ledger(tree: ProviderTree, **ours: Any) -> Ledger:
    root = tree.provider("node")
    return Ledger("node", root.uuid, entries={root.uuid: Entry("node", 0, **ours)})


def teller(current: ProviderTree, desired: ProviderTree, known: Ledger | None = None, **more: Any) -> Teller:
    return Teller(current, desired, known or Ledger("node"), "libvirt", MARK, **more)


def reasons(told: Teller) -> list[str]:
    return [each.reason for each in told.with_reasons(diff(told.current, told.desired))]


@given(tree_pairs(min_size=1))
def test_every_field_has_an_origin_and_every_change_a_reason(
    trees: tuple[ProviderTree, ProviderTree],
) -> None:
    current, desired = trees
    try:
        changes = diff(current, desired)
    except UnsupportedChange:
        return
    told = teller(current, desired)
    assert all(each.reason for each in told.with_reasons(changes))
    report = Report("node", "", current, desired, desired, changes, Plan())
    explained = explain(report, "libvirt", MARK)
    assert all(each.source.detail for each in explained)
    assert {each.provider for each in explained} == {each.name for each in desired.providers()}
    fields = sum(
        6 * len(each.inventory) + len(each.traits) + len(each.aggregates) + 1 for each in desired.providers()
    )
    assert len(explained) == fields


def test_field_s_own_note_goes_before_that_of_its_record() -> None:
    tree = host(inventory={"VCPU": {"total": 8, "reserved": 1}})
    tree.note("node", "VCPU", Source("document", "provider.yaml"))
    tree.note("node", "VCPU.reserved", Source("configuration", "[DEFAULT] reserved_host_cpus"))
    told = teller(ProviderTree(), tree)
    uuid = tree.provider("node").uuid
    assert told.source(uuid, "VCPU.total").detail == "provider.yaml"
    assert told.source(uuid, "VCPU.reserved").detail == "[DEFAULT] reserved_host_cpus"
    assert told.source(uuid, "VCPU.step_size") == Source("default", "Placement's default")
    assert told.source(uuid, "name") == Source("driver", "driver libvirt")


def test_what_was_there_before_us_is_not_the_driver_s() -> None:
    """A driver edits the tree in place, so what it leaves alone looks as if it wanted it."""
    now = host(
        inventory={"VCPU": {"total": 8}, "CUSTOM_LICENCE": {"total": 1}},
        traits=["COMPUTE_NODE", "CUSTOM_OPERATOR"],
        aggregates=[AGGREGATE],
    )
    now.new_child("theirs", "node", generation=0)
    now.update_inventory("theirs", {"FPGA": {"total": 1}})
    told = teller(
        now, now.copy(), ledger(now, classes=frozenset({"VCPU"}), traits=frozenset({"COMPUTE_NODE"}))
    )
    root, child = now.provider("node").uuid, now.provider("theirs").uuid
    assert told.source(root, "VCPU.total").kind == "driver"
    assert told.source(root, "traits.COMPUTE_NODE").kind == "driver"
    for uuid, field in [
        (root, "CUSTOM_LICENCE.total"),
        (root, "traits.CUSTOM_OPERATOR"),
        (root, f"aggregates.{AGGREGATE}"),
        (child, "FPGA.total"),
        (child, "name"),
    ]:
        assert told.source(uuid, field).kind == "placement", field


def test_what_the_driver_leaves_out_is_others() -> None:
    told = teller(host(inventory={"FPGA": {"total": 1}}, traits=["CUSTOM_A"]), host())
    uuid = told.current.provider("node").uuid
    for field in ("FPGA.total", "traits.CUSTOM_A"):
        assert told.source(uuid, field) == Source("placement", "kept from Placement: somebody else set it")


def noted(*details: str) -> ProviderTree:
    """A new host with a trait from each of these origins, and the mark."""
    tree = host(inventory={}, traits=[MARK, *(f"CUSTOM_{at}" for at in range(len(details)))])
    for at, detail in enumerate(details):
        tree.note("node", f"traits.CUSTOM_{at}", Source("driver", detail))
    return tree


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ([], "[reporter] owner_trait"),
        (["cpuinfo"], "cpuinfo"),
        (["cpuinfo", "cpuinfo"], "cpuinfo"),
        (["cpuinfo", "sysfs"], "cpuinfo, sysfs"),
        (["cpuinfo " * 5, "sysfs " * 5], f"mostly {'cpuinfo ' * 5}"),
        (["cpuinfo", "cpuinfo", "sysfs", "qemu"], "mostly cpuinfo"),
        (["cpuinfo", "sysfs", "qemu"], "driver libvirt, 3 sources"),
        (["driver libvirt", "sysfs"], "sysfs"),
    ],
)
def test_reason_of_many_traits_is_short(details: list[str], reason: str) -> None:
    assert reasons(teller(ProviderTree(), noted(*details)))[-1] == reason


def test_reason_of_a_changed_record_is_that_of_its_changed_fields() -> None:
    wanted = host(inventory={"VCPU": {"total": 8, "reserved": 2, "max_unit": 8, "allocation_ratio": 4.0}})
    wanted.note("node", "VCPU.reserved", Source("configuration", "[DEFAULT] reserved_host_cpus"))
    wanted.note("node", "VCPU.total", Source("driver", "online CPUs"))
    now = host(inventory={"VCPU": {"total": 8, "allocation_ratio": 4.00000001}})
    assert reasons(teller(now, wanted)) == ["[DEFAULT] reserved_host_cpus"]


def test_reasons_of_what_goes() -> None:
    now, wanted = host(inventory={"VCPU": {"total": 8}}, traits=["CUSTOM_A", "CUSTOM_B"]), host(inventory={})
    ours = ledger(now, classes=frozenset({"VCPU"}), traits=frozenset({"CUSTOM_A"}))
    assert reasons(teller(now, wanted, ours)) == ["no longer reported", "no longer set"]
    assert reasons(teller(now, wanted)) == ["driver libvirt reports none", "driver libvirt unsets it"]
    moved = frozenset({(now.provider("node").uuid, "VCPU")})
    assert reasons(teller(now, wanted, ours, moved=moved))[0] == "reshape"


def test_reasons_of_places() -> None:
    now, wanted = host(inventory={}), host(inventory={})
    now.new_child("gone", "node", generation=0)
    wanted.rename("node", "renamed")
    wanted.new_child("new", "renamed")
    wanted.note("new", "name", "PCI device 0000:84:00.0")
    assert reasons(teller(now, wanted)) == [
        "the host was renamed",
        "PCI device 0000:84:00.0",
        "driver libvirt no longer has it",
    ]


def test_held_changes_are_said_with_what_would_be() -> None:
    now = host(inventory={"VCPU": {"total": 8}}, traits=["CUSTOM_A"])
    wanted = host(inventory={"VCPU": {"total": 4}}, traits=["CUSTOM_B"])
    changes = diff(now, wanted)
    held = tuple(Held(each, "because") for each in changes)
    known = ledger(now, classes=frozenset({"VCPU"}), traits=frozenset({"CUSTOM_A"}))
    report = Report("node", "", now, wanted, now, changes, Plan(), held, ledger=known)
    found = {each.field: each for each in explain(report, "libvirt", MARK)}
    total = found["VCPU.total"]
    assert total.value == 8
    assert total.source.detail == "the change is held: because"
    assert [(each.detail, each.value) for each in total.source.lost] == [("driver libvirt", 4)]
    assert found["traits.CUSTOM_A"].source.detail == "the change is held: because"
