import copy
import dataclasses
import json
import pickle

import pytest

from provider_tree import Provider
from provider_tree.frozen import FrozenDict


@pytest.fixture
def provider():
    return Provider("u", "host", inventory={"VCPU": {"total": 8}}, traits={"A"}, resources={"PMEM": {1}})


def test_a_provider_that_trees_share_cannot_be_edited(provider):
    with pytest.raises(dataclasses.FrozenInstanceError):
        provider.name = "x"
    with pytest.raises(TypeError, match="shared between trees"):
        provider.inventory["VCPU"]["total"] = 9
    with pytest.raises(TypeError, match="shared between trees"):
        provider.inventory.pop("VCPU")
    with pytest.raises(TypeError, match="shared between trees"):
        provider.inventory |= {}
    with pytest.raises(AttributeError):
        provider.traits.add("B")


def test_copies_of_its_inventory_can_be_edited(provider):
    for inventory in (copy.deepcopy(provider.inventory), provider.data().inventory):
        inventory["VCPU"]["total"] = 9
    for inventory in (copy.copy(provider.inventory), provider.inventory.copy(), provider.inventory | {}):
        inventory["MEMORY_MB"] = {"total": 1}
    assert provider.inventory == {"VCPU": {"total": 8}}


def test_it_can_be_compared_pickled_and_written_as_json(provider):
    again = pickle.loads(pickle.dumps(provider))
    assert again == provider
    assert hash(again) == hash(provider)
    assert isinstance(again.inventory["VCPU"], FrozenDict)
    assert json.dumps(provider.inventory) == '{"VCPU": {"total": 8}}'
    assert copy.deepcopy(provider) is provider


def test_another_generation_is_another_value(provider):
    assert dataclasses.replace(provider, generation=1) != provider


def test_data_has_novas_fields_in_novas_order(provider):
    assert provider.data()._fields == (
        "uuid",
        "name",
        "generation",
        "parent_uuid",
        "inventory",
        "traits",
        "aggregates",
        "resources",
    )
