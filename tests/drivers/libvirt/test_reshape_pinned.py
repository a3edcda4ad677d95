"""VCPU that pinned instances hold becomes PCPU when a node gets dedicated CPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import HostReadError, ReshapeFailed, ReshapeNeeded
from drivers.libvirt import reshape
from drivers.libvirt.domain_xml import parse_domain
from drivers.libvirt.options import OPTIONS
from drivers.libvirt.reshape_pinned import PinnedPart, is_pinned
from tests.drivers.libvirt.builders import (
    NODE,
    Machine,
    configuration,
    domain,
    holdings,
    hypervisor,
    named,
    new_tree,
)

PINNED = "aaaaaaaa-0000-0000-0000-000000000001"
FLOATING = "aaaaaaaa-0000-0000-0000-000000000002"
OLD = {"VCPU": {"total": 8}, "MEMORY_MB": {"total": 1024}}
PINS = {0: "2", 1: "3"}


@pytest.mark.parametrize(
    ("guest", "pinned"),
    [
        ({"vcpus": 2, "pins": PINS}, True),
        ({"vcpus": 1, "pins": {0: "5"}}, True),
        ({"vcpus": 2}, False),
        ({"vcpus": 2, "pins": {0: "2"}}, False),
        ({"vcpus": 2, "pins": {0: "2-3", 1: "2-3"}}, False),
        ({"vcpus": 2, "pins": {0: "2", 1: "2"}}, False),
        ({"vcpus": 2, "pins": {0: "2", 1: "4-7"}}, False),
        ({"vcpus": 2, "pins": PINS, "policy": "mixed"}, False),
        ({"vcpus": 2, "pins": PINS, "policy": "shared"}, False),
        ({"vcpus": 2, "policy": "dedicated"}, True),
        ({"vcpus": 2, "image_policy": "dedicated"}, True),
        ({"vcpus": 2, "pins": PINS, "policy": "shared", "image_policy": "dedicated"}, False),
    ],
)
def test_who_is_pinned(guest, pinned):
    assert is_pinned(parse_domain(domain(PINNED, **guest))) is pinned


@pytest.mark.parametrize(
    "text", ["<domain/>", domain(PINNED, pins={0: "x"}), domain(PINNED).replace(">1</vcpu>", ">?</vcpu>")]
)
def test_domains_that_are_not_as_documented(text):
    with pytest.raises(HostReadError):
        parse_domain(text)


@pytest.fixture
def run(tmp_path):
    """Do what the driver does around the part: ``before``, the root's new inventory, ``update``."""

    def go(tree, allocations, conf="cpu_dedicated_set = 2-3\ncpu_shared_set = 0-1", guests=None, new=None):
        compute = {"compute": [each for each in OPTIONS["compute"] if each.name.startswith("cpu_")]}
        guests = (
            guests if guests is not None else [domain(PINNED, vcpus=2, pins=PINS), domain(FLOATING, vcpus=2)]
        )
        part = PinnedPart(
            configuration(tmp_path, f"[compute]\n{conf}\n", PinnedPart, more=compute),
            hypervisor(Machine(domains=guests)),
        )
        part.before(tree, NODE)
        tree.update_inventory(NODE, new or {"VCPU": {"total": 2}, "PCPU": {"total": 2}})
        part.update(tree, NODE, allocations)
        return part

    return go


def test_allocations_are_asked_for(run):
    with pytest.raises(ReshapeNeeded, match="PCPU"):
        run(new_tree(OLD), None)


def test_what_pinned_instances_hold_changes_its_class_and_nothing_else_does(run):
    tree = new_tree(OLD)
    allocations = holdings(
        tree,
        {
            PINNED: {NODE: {"VCPU": 3, "MEMORY_MB": 512}, "elsewhere": {"VCPU": 2}},
            FLOATING: {NODE: {"VCPU": 2}},
            "migration": {NODE: {"VCPU": 4}},
        },
    )
    part = run(tree, allocations)
    assert named(tree, allocations) == {
        PINNED: {NODE: {"PCPU": 3, "MEMORY_MB": 512}, "elsewhere": {"VCPU": 2}},
        FLOATING: {NODE: {"VCPU": 2}},
        "migration": {NODE: {"VCPU": 4}},
    }
    assert part.reshape_rules.class_changes == {("VCPU", "PCPU")}


def test_who_has_pcpu_already_stays_as_is(run):
    tree = new_tree(OLD)
    before = {PINNED: {NODE: {"VCPU": 1, "PCPU": 2}}}
    allocations = holdings(tree, before)
    run(tree, allocations)
    assert named(tree, allocations) == before


@pytest.mark.parametrize(
    ("inventory", "options"),
    [
        (OLD, {"conf": "cpu_shared_set = 0-1"}),
        (OLD, {"guests": [domain(FLOATING, vcpus=2)]}),
        (OLD, {"guests": []}),
        ({**OLD, "PCPU": {"total": 2}}, {}),
        ({"MEMORY_MB": {"total": 1}}, {}),
    ],
    ids=["no dedicated CPUs", "nobody pinned", "nobody", "PCPU already", "a new node"],
)
def test_nothing_moves(run, inventory, options):
    run(new_tree(inventory), None, **options)


def test_nobody_is_left_behind_with_vcpu_of_a_node_that_has_none_any_more(run):
    only = {"conf": "cpu_dedicated_set = 2-3", "new": {"PCPU": {"total": 2}}}
    tree = new_tree(OLD)
    allocations = holdings(tree, {PINNED: {NODE: {"VCPU": 2}}})
    run(tree, allocations, **only)
    assert named(tree, allocations) == {PINNED: {NODE: {"PCPU": 2}}}
    tree = new_tree(OLD)
    with pytest.raises(ReshapeFailed, match=FLOATING) as caught:
        run(tree, holdings(tree, {PINNED: {NODE: {"VCPU": 2}}, FLOATING: {NODE: {"VCPU": 2}}}), **only)
    assert "cpu_shared_set" in caught.value.advice


def test_instances_on_other_cpus_than_the_dedicated_ones_are_named(run, caplog):
    tree = new_tree(OLD)
    run(tree, {}, conf="cpu_dedicated_set = 3-5\ncpu_shared_set = 0-1")
    assert (
        f"Instance {PINNED} is pinned to CPU 2, which [compute] cpu_dedicated_set does not name"
        in caplog.text
    )


AMOUNTS = st.dictionaries(st.sampled_from(["VCPU", "PCPU", "VGPU"]), st.integers(1, 9), min_size=1)


@given(st.dictionaries(st.sampled_from(["p1", "p2"]), AMOUNTS, min_size=1), st.data())
def test_taking_and_adding_keeps_every_amount(held, data):
    allocations = {"c": {"allocations": {name: {"resources": dict(each)} for name, each in held.items()}}}
    provider = data.draw(st.sampled_from(sorted(held)))
    name = data.draw(st.sampled_from(sorted(held[provider])))
    amount = data.draw(st.integers(1, held[provider][name]))
    reshape.take(allocations, "c", provider, name, amount)
    reshape.add(allocations, "c", "p3", name, amount)

    def total():
        return sum(each["resources"].get(name, 0) for each in allocations["c"]["allocations"].values())

    assert total() == sum(each.get(name, 0) for each in held.values())
    assert all(each["resources"] for each in allocations["c"]["allocations"].values())
    assert all(
        value > 0 for each in allocations["c"]["allocations"].values() for value in each["resources"].values()
    )
