import json
import uuid

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provider_tree import InvalidTree, ProviderTree, from_document, to_document
from tests.strategies import valid_trees

ROOT = "11111111-1111-1111-1111-111111111111"


def test_a_document_has_roots_first_and_everything_filled_in_and_sorted():
    tree = ProviderTree()
    tree.new_root("z", ROOT, generation=3)
    tree.update_inventory("z", {"VCPU": {"total": 8}, "DISK_GB": {"total": 9, "reserved": 1}})
    tree.update_traits("z", ["COMPUTE_NODE", "CUSTOM_A"])
    tree.update_aggregates("z", [ROOT])
    child = tree.new_child("a", "z")
    document = to_document(tree)
    defaults = {"min_unit": 1, "max_unit": 2147483647, "step_size": 1, "allocation_ratio": 1.0}
    assert document == {
        "format_version": 1,
        "providers": [
            {
                "name": "z",
                "uuid": ROOT,
                "parent": None,
                "inventory": {
                    "DISK_GB": {"total": 9, "reserved": 1, **defaults},
                    "VCPU": {"total": 8, "reserved": 0, **defaults},
                },
                "traits": ["COMPUTE_NODE", "CUSTOM_A"],
                "aggregates": [ROOT],
            },
            {"name": "a", "uuid": child, "parent": "z", "inventory": {}, "traits": [], "aggregates": []},
        ],
    }
    assert list(document["providers"][0]["inventory"]) == ["DISK_GB", "VCPU"]


def test_little_is_needed_to_describe_a_tree():
    document = yaml.safe_load(
        """
        providers:
        - name: gpu0
          parent: compute-1
          inventory: {VGPU: 4}
          traits: [CUSTOM_NVIDIA]
        - name: compute-1
          inventory:
            VCPU: {total: 8, allocation_ratio: 4}
          aggregates:
        """
    )
    tree = from_document(document)
    root = tree.root_of("gpu0")
    assert root.name == "compute-1"
    assert tree.data("gpu0").inventory == {"VGPU": {"total": 4}}
    assert tree.data("gpu0").traits == {"CUSTOM_NVIDIA"}
    assert tree.provider("gpu0").uuid == str(uuid.uuid5(uuid.UUID(root.uuid), "gpu0"))


def test_derived_uuids_are_the_same_every_time_and_differ_by_namespace():
    document = {"providers": [{"name": "a"}, {"name": "b", "parent": "a"}]}
    assert from_document(document) == from_document(document)
    namespace = uuid.UUID(ROOT)
    tree = from_document(document, namespace=namespace)
    assert tree.provider("a").uuid == str(uuid.uuid5(namespace, "a"))
    assert not set(tree.get_provider_uuids()) & set(from_document(document).get_provider_uuids())


def test_uuids_are_brought_to_their_usual_form():
    tree = from_document({"providers": [{"name": "a", "uuid": "A" * 32, "aggregates": ["B" * 32]}]})
    (provider,) = tree.providers()
    assert provider.uuid == str(uuid.UUID("a" * 32))
    assert provider.aggregates == {str(uuid.UUID("b" * 32))}


def test_a_reader_may_have_sections_of_its_own():
    document = {"providers": [], "reshape": {"anything": 1}}
    assert len(from_document(document, allowed=["reshape"])) == 0
    with pytest.raises(InvalidTree, match="reshape: is not known"):
        from_document(document)


def provider(**fields):
    return {"providers": [{"name": "host"}, {"name": "a", **fields}]}


@pytest.mark.parametrize(
    ("document", "what", "advice"),
    [
        (None, "the document: must be a mapping, is nothing", ""),
        ([], "the document: must be a mapping, is list []", ""),
        ({}, "the document has no providers", ""),
        ({"provider": []}, "the document.provider: is not known", "did you mean providers?"),
        ({"providers": {}}, "providers: must be a list, is dict {}", ""),
        ({"providers": ["a"]}, "providers[0]: must be a mapping, is str 'a'", ""),
        ({"providers": [], "format_version": 2}, "format_version: 2 is not known", "format 1"),
        ({"providers": [{}]}, "providers[0].name: is missing", ""),
        (provider(name=5), "providers[1].name: must be text, is int 5", "put it in quotes"),
        (provider(name=""), "providers[1].name: must have 1 to 200 characters, has 0", ""),
        (provider(name="host"), "providers[1].name: 'host' is the name of providers[0] already", ""),
        (provider(inventori={}), "providers[1].inventori: is not known", "did you mean inventory?"),
        (provider(parent="hst"), "providers[1].parent: there is no provider 'hst'", "did you mean host?"),
        (provider(parent="x"), "providers[1].parent: there is no provider 'x'", "null for a root"),
        (provider(parent=["host"]), "providers[1].parent: must be text", ""),
        (provider(parent="a"), "providers[1].parent: a is below a", "cannot be below itself"),
        (provider(uuid="x"), "providers[1].uuid: 'x' is not a uuid", "leave it out"),
        (provider(uuid=5), "providers[1].uuid: must be text, is int 5", ""),
        (provider(inventory=[]), "providers[1].inventory: must be a mapping, is list []", ""),
        (provider(inventory={"VCPU": 0}), "providers[1].inventory.VCPU.total: must be from 1", ""),
        (provider(inventory={"VCPU": None}), "providers[1].inventory.VCPU.total: is missing", ""),
        (provider(inventory={"VCPU": {}}), "providers[1].inventory.VCPU.total: is missing", ""),
        (provider(inventory={"VCPU": "8"}), "providers[1].inventory.VCPU.total: must be a whole number", ""),
        (provider(inventory={"VCPU": True}), "providers[1].inventory.VCPU.total: must be a whole number", ""),
        (
            provider(inventory={"VCPU": {"total": -4}}),
            "providers[1].inventory.VCPU.total: must be from 1",
            "",
        ),
        (
            provider(inventory={"VCPU": {"total": 4, "reserved": 5}}),
            "providers[1].inventory.VCPU.reserved: is 5, more than the total of 4",
            "",
        ),
        (
            provider(inventory={"VCPU": {"total": 4, "allocation_ratio": 0}}),
            "providers[1].inventory.VCPU.allocation_ratio: must be above 0",
            "",
        ),
        (
            provider(inventory={"VCPU": {"total": 4, "allocation_ration": 1}}),
            "providers[1].inventory.VCPU.allocation_ration: is not known",
            "did you mean allocation_ratio?",
        ),
        (
            provider(inventory={"VCPUS": 4}),
            "providers[1].inventory.VCPUS: VCPUS is neither",
            "did you mean VCPU?",
        ),
        (provider(inventory={"gpu": 4}), "providers[1].inventory.gpu: 'gpu' is not a name", "CUSTOM_"),
        (provider(inventory={4: 4}), "providers[1].inventory: the key 4: must be text", ""),
        (provider(traits="A"), "providers[1].traits: must be a list, is str 'A'", ""),
        (provider(traits=[True]), "providers[1].traits[0]: must be text, is bool True", ""),
        (
            provider(traits=["COMPUTE_NODE", "COMPUTE_NOD"]),
            "providers[1].traits[1]: COMPUTE_NOD is neither",
            "did you mean COMPUTE_NODE?",
        ),
        (provider(aggregates=["rack"]), "providers[1].aggregates[0]: 'rack' is not a uuid", "uuids"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(document, what, advice):
    with pytest.raises(InvalidTree) as error:
        from_document(document)
    assert error.value.what.startswith(what)
    assert advice in error.value.advice
    assert error.value.advice
    assert "\n" not in error.value.what


def test_parents_that_make_a_cycle():
    rows = [("a", None), ("b", "d"), ("c", "b"), ("d", "c"), ("e", "b")]
    document = {"providers": [{"name": name, "parent": parent} for name, parent in rows]}
    with pytest.raises(InvalidTree, match=r"providers\[1\].parent: b is below d is below c is below b"):
        from_document(document)


def test_duplicate_uuids_are_found_however_written():
    document = {"providers": [{"name": "a", "uuid": "a" * 32}, {"name": "b", "uuid": "A" * 32}]}
    with pytest.raises(InvalidTree, match=r"providers\[1\].uuid: .* is the uuid of providers\[0\] already"):
        from_document(document)


def test_the_provider_is_named_beside_its_path():
    with pytest.raises(InvalidTree, match=r"in provider 'a'$"):
        from_document(provider(inventory={"VCPU": 0}))


@given(valid_trees())
def test_a_tree_survives_the_way_through_json_and_yaml(tree):
    document = to_document(tree)
    assert to_document(from_document(document)) == document
    assert to_document(from_document(json.loads(json.dumps(document)))) == document
    assert [p.uuid for p in from_document(document).roots] == [
        each["uuid"] for each in document["providers"] if each["parent"] is None
    ]


@given(valid_trees(max_size=4))
def test_yaml_of_any_name_reads_as_written(tree):
    document = to_document(tree)
    assert yaml.safe_load(yaml.safe_dump(document)) == document


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["a", "b", "VCPU", ROOT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "providers",
                    "name",
                    "uuid",
                    "parent",
                    "inventory",
                    "traits",
                    "aggregates",
                    "VCPU",
                    "total",
                    1,
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(junk | st.builds(lambda entries: {"providers": entries}, st.lists(junk, max_size=3)))
def test_any_other_document_is_a_tree_or_explained(document):
    try:
        tree = from_document(document)
    except InvalidTree as error:
        explained = (error.what, error.advice)
        assert all(explained)
        return
    assert to_document(from_document(to_document(tree))) == to_document(tree)
