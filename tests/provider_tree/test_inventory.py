import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_tree.inventory import DEFAULTS, FIELDS, capacity, complete, same
from tests.strategies import records


def test_what_is_left_out_becomes_placements_default():
    assert complete({"total": 8, "max_unit": 4}) == {
        "total": 8,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": 4,
        "step_size": 1,
        "allocation_ratio": 1.0,
    }


def test_the_defaults_are_placements_own():
    handlers = pytest.importorskip("placement.handlers.inventory")
    assert handlers.INVENTORY_DEFAULTS == DEFAULTS
    assert list(FIELDS) == handlers.OUTPUT_INVENTORY_FIELDS


def test_a_missing_total_is_not_a_total_of_zero():
    assert complete({"reserved": 1})["total"] is None


def test_what_placement_does_not_know_is_left_out():
    assert "resource_provider_generation" not in complete({"total": 1, "resource_provider_generation": 4})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"total": 8}, {"total": 8, "reserved": 0, "allocation_ratio": 1}, True),
        ({"total": 8}, {"total": 8.0}, True),
        ({"total": 8, "reserved": 2}, {"total": 8}, False),
        ({"total": 8, "allocation_ratio": 16.1}, {"total": 8, "allocation_ratio": 16.100000381469727}, True),
        ({"total": 8, "allocation_ratio": 1.234567}, {"total": 8, "allocation_ratio": 1.23457}, True),
        ({"total": 8, "allocation_ratio": 1.0}, {"total": 8, "allocation_ratio": 1.001}, False),
        ({"total": 8, "allocation_ratio": "1"}, {"total": 8, "allocation_ratio": 1.0}, False),
        ({"total": 1000000}, {"total": 1000001}, False),
    ],
)
def test_records_are_the_same_if_placement_would_store_the_same(one, other, expected):
    assert same(one, other) is expected
    assert same(other, one) is expected


@given(records(), st.sampled_from(FIELDS))
def test_a_completed_record_is_the_same_and_another_value_is_not(record, field):
    full = complete(record)
    assert same(record, full)
    assert complete(full) == full
    assert not same(record, {**full, field: full[field] * 2 + 1})


def test_capacity_is_rounded_down():
    assert capacity({"total": 9, "reserved": 2, "allocation_ratio": 1.5}) == 10
    assert capacity({"total": 4}) == 4
