from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drivers.reshape import consumers_of, move_allocations

PROVIDERS = ("p1", "p2", "p3")
CLASSES = ("VGPU", "VCPU", "PCPU")

resources = st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 9), min_size=1, max_size=3)
holdings = st.dictionaries(
    st.sampled_from(PROVIDERS), resources.map(lambda held: {"resources": held}), max_size=3
)
allocations_of = st.dictionaries(
    st.sampled_from(["c1", "c2", "c3", "c4"]),
    holdings.map(
        lambda held: {"allocations": held, "project_id": "p", "user_id": "u", "consumer_generation": 1}
    ),
)
places = st.tuples(st.sampled_from(PROVIDERS), st.sampled_from(CLASSES))


def amounts(allocation: dict[str, Any]) -> Counter[str]:
    """Resource class → amount, wherever it is held."""
    total: Counter[str] = Counter()
    for each in allocation["allocations"].values():
        total.update(each["resources"])
    return total


@given(
    allocations_of,
    places,
    st.sampled_from(PROVIDERS),
    st.none() | st.sets(st.sampled_from(["c1", "c2", "x"])),
)
def test_what_leaves_arrives(
    allocations: dict[str, Any], source: tuple[str, str], destination: str, consumers: set[str] | None
) -> None:
    provider, name = source
    before = copy.deepcopy(allocations)
    moved = move_allocations(allocations, name, provider, destination, consumers)
    assert allocations.keys() == before.keys()
    for consumer, allocation in allocations.items():
        assert amounts(allocation) == amounts(before[consumer])
        assert all(each["resources"] for each in allocation["allocations"].values())
        assert {key: value for key, value in allocation.items() if key != "allocations"} == {
            key: value for key, value in before[consumer].items() if key != "allocations"
        }
        if consumer not in moved:
            assert allocation == before[consumer]
    held = consumers_of(before, name, provider)
    assert moved == {each: held[each] for each in held if consumers is None or each in consumers}
    if provider != destination:
        assert consumers_of(allocations, name, provider) == {
            each: amount for each, amount in held.items() if each not in moved
        }


@given(allocations_of, places, st.sampled_from(PROVIDERS), st.sampled_from(CLASSES))
def test_a_class_that_becomes_another_keeps_the_sum(
    allocations: dict[str, Any], source: tuple[str, str], destination: str, to_class: str
) -> None:
    provider, name = source
    before = copy.deepcopy(allocations)
    moved = move_allocations(allocations, name, provider, destination, to_class=to_class)
    for consumer, allocation in allocations.items():
        expected = amounts(before[consumer])
        expected[name] -= moved.get(consumer, 0)
        expected[to_class] += moved.get(consumer, 0)
        assert amounts(allocation) == +expected
        assert all(each["resources"] for each in allocation["allocations"].values())


def test_amounts_add_up_and_an_empty_provider_goes() -> None:
    allocations = {
        "c1": {
            "allocations": {
                "root": {"generation": 3, "resources": {"VGPU": 1}},
                "gpu": {"resources": {"VGPU": 2}},
                "elsewhere": {"resources": {"DISK_GB": 5}},
            },
            "project_id": "p",
            "user_id": "u",
            "consumer_generation": 7,
        }
    }
    assert move_allocations(allocations, "VGPU", "root", "gpu") == {"c1": 1}
    assert allocations["c1"]["allocations"] == {
        "gpu": {"resources": {"VGPU": 3}},
        "elsewhere": {"resources": {"DISK_GB": 5}},
    }
    assert move_allocations(allocations, "VGPU", "root", "gpu") == {}
