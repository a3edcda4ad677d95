"""Makes the same random calls on Nova's ProviderTree and on ours, and compares every answer.

Left out is what differs on purpose: names that are not unique, and the order of things gone wrong halfway.
"""

import copy
import pickle
import sys

import nova.compute.provider_tree
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import provider_tree
from provider_tree.provider import derive_uuid

SIZE = 7
KEYS = st.integers(0, SIZE - 1)
TRAITS = st.sets(st.sampled_from(["HW_A", "HW_B", "CUSTOM_C", "MISC_SHARES_VIA_AGGREGATE"]))
AGGREGATES = st.sets(st.sampled_from(["agg-1", "agg-2", "agg-3"]))
GENERATIONS = st.none() | st.integers(0, 5)
RECORDS = st.fixed_dictionaries(
    {"total": st.integers(1, 2)},
    optional={"reserved": st.integers(0, 1), "allocation_ratio": st.sampled_from([1.0, 1.5])},
)
INVENTORIES = st.dictionaries(st.sampled_from(["VCPU", "CUSTOM_X"]), RECORDS)


def uid(key):
    return derive_uuid("", str(key))


def handle(key, by_name):
    return f"p{key}" if by_name else uid(key)


HANDLES = st.builds(handle, KEYS, st.booleans())
"""Names and uuids of providers that may or may not be there."""


def outcome(action, tree, *arguments, **options):
    try:
        return getattr(tree, action)(*arguments, **options)
    except ValueError:
        return ValueError


class Calls(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.theirs = nova.compute.provider_tree.ProviderTree()
        self.ours = provider_tree.ProviderTree()

    def both(self, action, *arguments, **options):
        expected = outcome(action, self.theirs, *copy.deepcopy(arguments), **options)
        actual = outcome(action, self.ours, *copy.deepcopy(arguments), **options)
        if isinstance(expected, tuple):
            expected, actual = tuple(expected), tuple(actual)
        assert actual == expected, (action, arguments, actual, expected)

    @initialize(parents=st.tuples(*(st.none() | st.integers(0, key - 1) for key in range(1, SIZE - 1))))
    def begin_with_some(self, parents):
        self.new_root(0, 1)
        for key, parent in enumerate(parents, 1):
            if parent is None:
                self.new_root(key, None)
            else:
                self.new_child(key, handle(parent, by_name=True), None)

    @rule(key=KEYS, generation=GENERATIONS)
    def new_root(self, key, generation):
        self.both("new_root", f"p{key}", uid(key), generation=generation)

    @rule(key=KEYS, parent=HANDLES, generation=GENERATIONS)
    def new_child(self, key, parent, generation):
        self.both("new_child", f"p{key}", parent, uuid=uid(key), generation=generation)

    @rule(handle=HANDLES)
    def remove(self, handle):
        self.both("remove", handle)

    @rule(handle=HANDLES, inventory=INVENTORIES, generation=GENERATIONS)
    def update_inventory(self, handle, inventory, generation):
        if self.ours.exists(handle) and drops_a_field(self.ours.provider(handle).inventory, inventory):
            return
        self.both("has_inventory_changed", handle, inventory)
        self.both("update_inventory", handle, inventory, generation)

    @rule(handle=HANDLES, traits=TRAITS, generation=GENERATIONS)
    def update_traits(self, handle, traits, generation):
        self.both("has_traits", handle, traits)
        self.both("have_traits_changed", handle, traits)
        self.both("update_traits", handle, traits, generation)

    @rule(handle=HANDLES, action=st.sampled_from(["add_traits", "remove_traits"]), traits=TRAITS)
    def edit_traits(self, handle, action, traits):
        self.both(action, handle, *traits)

    @rule(handle=HANDLES, aggregates=AGGREGATES, generation=GENERATIONS)
    def update_aggregates(self, handle, aggregates, generation):
        self.both("in_aggregates", handle, aggregates)
        self.both("have_aggregates_changed", handle, aggregates)
        self.both("update_aggregates", handle, aggregates, generation)

    @rule(
        handle=HANDLES, action=st.sampled_from(["add_aggregates", "remove_aggregates"]), aggregates=AGGREGATES
    )
    def edit_aggregates(self, handle, action, aggregates):
        self.both(action, handle, *aggregates)

    @rule(handle=HANDLES, resources=st.dictionaries(st.just("PMEM"), st.sets(st.integers(0, 2))))
    def update_resources(self, handle, resources):
        self.both("update_resources", handle, resources)

    @rule(parents=st.dictionaries(KEYS, st.none() | KEYS, min_size=1, max_size=3), generation=GENERATIONS)
    def populate(self, parents, generation):
        listing = [
            {"uuid": uid(key), "name": f"p{key}", "generation": generation}
            | ({"parent_provider_uuid": uid(parent)} if parent is not None else {})
            for key, parent in parents.items()
        ]
        before = copy.deepcopy(self.theirs)
        expected = outcome("populate_from_iterable", self.theirs, listing)
        actual = outcome("populate_from_iterable", self.ours, listing)
        if ValueError in (expected, actual):
            # Nova notices some of what is wrong too late, or loses a provider over it: start from before.
            lost = any(not self.theirs.exists(each["uuid"]) for each in listing)
            assert actual is ValueError
            assert expected is ValueError or lost
            self.theirs = before

    @rule(way=st.sampled_from([copy.deepcopy, lambda tree: pickle.loads(pickle.dumps(tree))]))
    def go_on_with_a_copy(self, way):
        self.ours = way(self.ours)

    @rule(handle=HANDLES)
    def go_on_with_a_subtree(self, handle):
        expected, actual = outcome("subtree", self.theirs, handle), outcome("subtree", self.ours, handle)
        assert (expected is ValueError) == (actual is ValueError)
        if expected is not ValueError:
            assert actual.scope_rp_uuid == expected.scope_rp_uuid
            self.theirs, self.ours = expected, actual

    @invariant()
    def all_questions_have_the_same_answers(self):
        self.both("get_provider_uuids")
        assert [root.name for root in self.ours.roots] == [root.name for root in self.theirs.roots]
        assert list(self.ours.roots_by_uuid) == list(self.theirs.roots_by_uuid)
        assert set(self.ours.roots_by_name) == set(self.theirs.roots_by_name)
        for name in ("VCPU", "CUSTOM_X"):
            self.both("has_sharing_provider", name)
        for key in range(SIZE):
            for by_name in (True, False):
                for question in QUESTIONS:
                    self.both(question, handle(key, by_name))


QUESTIONS = ("exists", "data", "has_inventory", "get_provider_uuids", "get_provider_uuids_in_tree")


def drops_a_field(old, new):
    """Whether the difference is one that Nova's tree does not store."""
    return old.keys() == new.keys() and any(old[key].keys() - new[key].keys() for key in old)


if __name__ == "__main__":
    run_state_machine_as_test(
        Calls,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    sys.stdout.write("agreed\n")
