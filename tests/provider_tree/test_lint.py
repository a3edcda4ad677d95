import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_tree import ProviderTree, lint
from provider_tree.inventory import DEFAULTS, FIELDS, MAX_INT, MAX_RATIO
from provider_tree.lint import record_problems
from tests.strategies import records, valid_trees

ROOT = "11111111-1111-1111-1111-111111111111"


def host(inventory=None, name="host", uuid=ROOT, traits=(), aggregates=()):
    tree = ProviderTree()
    tree.new_root(name, uuid)
    tree.update_inventory(uuid, inventory or {})
    tree.update_traits(uuid, traits)
    tree.update_aggregates(uuid, aggregates)
    return tree


def found(tree, usages=None, **options):
    """What lint says, without the messages."""
    return [(f.resource_class, f.field, f.refused) for f in lint(tree, usages, **options)]


@given(valid_trees())
def test_a_tree_that_placement_takes_has_warnings_at_most(tree):
    assert not [finding for finding in lint(tree) if finding.refused]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total", 0),
        ("total", -1),
        ("total", None),
        ("total", 8.0),
        ("total", "8"),
        ("total", True),
        ("total", MAX_INT + 1),
        ("reserved", -1),
        ("reserved", 9),
        ("reserved", False),
        ("min_unit", 0),
        ("max_unit", 0),
        ("max_unit", MAX_INT + 1),
        ("step_size", 0),
        ("allocation_ratio", 0),
        ("allocation_ratio", 0.0),
        ("allocation_ratio", -1.5),
        ("allocation_ratio", math.nan),
        ("allocation_ratio", math.inf),
        ("allocation_ratio", MAX_RATIO * 2),
        ("allocation_ratio", None),
        ("allocation_ratio", "1.0"),
        ("allocation_ratio", True),
        ("alocation_ratio", 1.0),
        ("resource_provider_generation", 1),
    ],
)
def test_a_bad_value_is_refused_with_its_class_and_field(field, value):
    assert found(host({"VCPU": {"total": 8, field: value}})) == [("VCPU", field, True)]


def test_a_record_without_a_total_is_refused():
    (finding,) = lint(host({"VCPU": {"reserved": 1}}))
    assert str(finding) == "host: VCPU.total: is missing"
    assert finding.refused


def test_fields_that_contradict_each_other():
    assert found(host({"VCPU": {"total": 8, "min_unit": 4, "max_unit": 2}})) == [("VCPU", "min_unit", True)]
    assert found(host({"VCPU": {"total": 8, "max_unit": 16}})) == [("VCPU", "max_unit", False)]


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"total": 8, "min_unit": 9}, "min_unit"),
        ({"total": 8, "reserved": 4, "min_unit": 5}, "min_unit"),
        ({"total": 8, "step_size": 16}, "min_unit"),
        ({"total": 8, "max_unit": 8, "step_size": 16}, "step_size"),
        ({"total": 64, "min_unit": 5, "max_unit": 7, "step_size": 4}, "step_size"),
        ({"total": 1, "allocation_ratio": 0.5}, "min_unit"),
    ],
)
def test_a_record_that_nothing_can_be_allocated_from_is_a_warning(record, field):
    assert found(host({"VCPU": record})) == [("VCPU", field, False)]


@pytest.mark.parametrize(
    "record",
    [
        {"total": 8},
        {"total": 8, "max_unit": 8, "allocation_ratio": 16.0},
        {"total": 8, "max_unit": MAX_INT},
        {"total": 8, "reserved": 8},
        {"total": 100, "min_unit": 10, "step_size": 10, "max_unit": 100},
    ],
)
def test_ordinary_records_have_no_findings(record):
    assert not found(host({"VCPU": record}))


def test_capacity_below_what_is_in_use_is_a_warning():
    tree = host({"VCPU": {"total": 4, "allocation_ratio": 1.5}, "DISK_GB": {"total": 10, "reserved": 10}})
    assert not lint(tree, {ROOT: {"VCPU": 6, "DISK_GB": 0}})
    findings = lint(tree, {ROOT: {"VCPU": 7, "DISK_GB": 1}})
    assert [str(each) for each in findings] == [
        "host: DISK_GB.reserved: leaves a capacity of 0, less than the 1 in use",
        "host: VCPU.total: leaves a capacity of 6, less than the 7 in use",
    ]
    assert not any(each.refused for each in findings)


def test_a_class_in_use_cannot_be_dropped():
    assert found(host(), {ROOT: {"VGPU": 2, "VCPU": 0}}) == [("VGPU", None, True)]


def test_names_and_uuids():
    assert found(host(name="h" * 201)) == [(None, "name", True)]
    assert found(host(name="h" * 200)) == []
    assert found(host(uuid="compute-1")) == [(None, "uuid", True)]
    assert found(host(uuid=UUID(ROOT))) == [(None, "uuid", True)]
    assert found(host(aggregates=["rack-1", ROOT])) == [(None, "aggregates.rack-1", True)]
    assert found(host({"vcpu": {"total": 1}})) == [("vcpu", None, True)]
    assert found(host({"VCPUS": {"total": 1}})) == [("VCPUS", None, True)]
    assert found(host(traits=["CUSTOM_A", "HW_NEW", "custom_a"])) == [
        (None, "traits.HW_NEW", True),
        (None, "traits.custom_a", True),
    ]


@pytest.mark.parametrize("form", [str.upper, "{{{}}}".format, "urn:uuid:{}".format])
def test_a_uuid_that_placement_would_write_otherwise_is_refused(form):
    """It would be created, and not be there under the uuid that it was given."""
    uuid = "abcdefab-1111-4111-8111-111111111111"
    (finding,) = lint(host(uuid=form(uuid)))
    assert (finding.field, finding.refused) == ("uuid", True)
    assert uuid in finding.message


def test_names_that_this_placement_has_are_fine_though_not_standard_here():
    tree = host({"NEW_CLASS": {"total": 1}}, traits=["HW_NEW"])
    assert found(tree, known={"NEW_CLASS", "HW_NEW"}) == []


def test_some_providers_of_a_tree_can_be_looked_at():
    tree = host({"VCPU": {"total": 0}})
    tree.new_child("gpu", "host")
    assert [each.provider for each in lint([tree.provider("host")])] == ["host"]
    assert lint([tree.provider("gpu")]) == []


def test_names_that_differ_in_case_alone_are_one_to_mysql():
    tree = host(name="Compute-1")
    tree.new_child("compute-1", "Compute-1")
    (finding,) = lint(tree)
    assert (finding.provider, finding.field, finding.refused) == ("compute-1", "name", False)


values = st.one_of(
    st.integers(-2, 10),
    st.sampled_from([MAX_INT, MAX_INT + 1, True, None, "1", 1.5, 0.0, -0.5, 1e39, math.inf]),
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), values) | records())
def test_whatever_placement_refuses_is_found(record):
    schemas = pytest.importorskip("placement.schemas.inventory")
    jsonschema = pytest.importorskip("jsonschema")
    inventory = pytest.importorskip("placement.objects.inventory")
    body = {"resource_provider_generation": 1, "inventories": {"VCPU": record}}
    try:
        jsonschema.validate(body, schemas.PUT_INVENTORY_SCHEMA)
        accepted = inventory.Inventory(**{**DEFAULTS, **record}).capacity >= 0
    except jsonschema.ValidationError:
        accepted = False
    refused = [problem for problem in record_problems(record) if problem.refused]
    assert accepted or refused
    if accepted:  # what we refuse beyond that can only be a mistake
        ours = {"allocation_ratio", "min_unit", "reserved", *_floats(record)}
        assert {problem.field for problem in refused} <= ours


def _floats(record):
    return {field for field, value in record.items() if isinstance(value, float)}


@pytest.mark.parametrize(
    ("schema", "key"), [("trait.TRAIT", "maxLength"), ("resource_class.POST_RC_SCHEMA_V1_2", "maxLength")]
)
def test_the_longest_name_is_placements(schema, key):
    from provider_tree.names import MAX_LENGTH

    module, _, name = schema.partition(".")
    rules = getattr(pytest.importorskip(f"placement.schemas.{module}"), name)
    assert rules.get("properties", {}).get("name", rules)[key] == MAX_LENGTH


def test_the_bounds_are_placements():
    constants = pytest.importorskip("placement.db.constants")
    assert (MAX_INT, MAX_RATIO) == (constants.MAX_INT, constants.SQL_SP_FLOAT_MAX)
