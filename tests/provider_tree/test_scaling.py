"""Work grows with the size of a tree, not with its square: counted in calls and comparisons, not in time."""

import cProfile
import pstats
import uuid

import pytest

from provider_tree import Provider, ProviderTree, diff, from_document, lint, to_document

SIZES = (200, 800)
SHAPES = ("wide", "deep", "many roots", "host")


def uid(number):
    return str(uuid.UUID(int=number))


def parent_of(shape, number):
    match shape:
        case "wide":
            return 0 if number else None
        case "deep":
            return number - 1 if number else None
        case "many roots":
            return None
        case _:
            return None if not number else 0 if number < 9 else 1 + number % 8


def listing(shape, size):
    for number in range(size):
        parent = parent_of(shape, number)
        yield {
            "uuid": uid(number),
            "name": f"p{number}",
            "generation": 1,
            "parent_provider_uuid": None if parent is None else uid(parent),
        }


def grown(shape, size):
    tree = ProviderTree()
    tree.populate_from_iterable(listing(shape, size))
    for provider in tree.providers():
        tree.update_inventory(provider.name, {"VCPU": {"total": 8}})
        tree.update_traits(provider.uuid, ["COMPUTE_NODE"])
    return tree


def one_by_one(shape, size):
    tree = ProviderTree()
    for row in listing(shape, size):
        if row["parent_provider_uuid"] is None:
            tree.new_root(row["name"], row["uuid"])
        else:
            tree.new_child(row["name"], row["parent_provider_uuid"], uuid=row["uuid"])


def calls(action, *arguments):
    """How many calls, of Python and of C functions, an action makes."""
    profile = cProfile.Profile()
    profile.runcall(action, *arguments)
    return pstats.Stats(profile).total_calls


def assert_linear(counts):
    small, large = counts
    growth = SIZES[1] / SIZES[0]
    assert large < small * growth * 1.5 + 100, (
        f"{small} calls for {SIZES[0]}, {large} for {SIZES[1]} providers"
    )


def say_again(tree):
    for provider in tree.providers():
        tree.update_inventory(provider.name, {"VCPU": {"total": 8}})
        tree.has_traits(provider.name, ["COMPUTE_NODE"])
        tree.data(provider.uuid)


def restated(tree):
    """The same tree, in which no provider is the very same object."""
    return from_document(to_document(tree))


def doubled(tree):
    other = restated(tree)
    for provider in tree.providers():
        other.update_inventory(provider.name, {"VCPU": {"total": 16}})
    return other


def renamed(tree):
    """Each provider has the name that the one before it had."""
    last = len(tree)
    names = {f"p{number}": f"p{number + 1}" for number in range(last)}
    return ProviderTree.from_providers(
        Provider(each.uuid, names[each.name], 1, each.parent_uuid) for each in tree.providers()
    )


def remove_one_by_one(tree):
    for uuid_ in reversed(tree.get_provider_uuids()):
        tree.remove(uuid_)


ACTIONS = {
    "find": lambda tree: [tree.exists(f"p{number}") for number in range(len(tree))],
    "say again": say_again,
    "walk": lambda tree: list(tree.providers()),
    "remove": remove_one_by_one,
    "document": restated,
    "lint": lint,
    "diff with nothing": lambda tree: diff(ProviderTree(), tree),
    "diff to nothing": lambda tree: diff(tree, ProviderTree()),
    "diff with the same": lambda tree: diff(tree, restated(tree)),
    "diff of all": lambda tree: diff(tree, doubled(tree)),
    "diff of names that shift": lambda tree: diff(tree, renamed(tree)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("build", [grown, one_by_one])
def test_building_is_linear(shape, build):
    assert_linear([calls(build, shape, size) for size in SIZES])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("action", list(ACTIONS))
def test_working_with_a_tree_is_linear(shape, action):
    assert_linear([calls(ACTIONS[action], grown(shape, size)) for size in SIZES])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_copy_makes_no_calls_for_providers_and_a_diff_of_one_change_few(shape):
    def one_change(tree):
        other = tree.copy()
        other.update_inventory("p0", {"VCPU": {"total": 9}})
        assert len(diff(tree, other)) == 1

    counts = [calls(one_change, grown(shape, size)) for size in SIZES]
    per_provider = (counts[1] - counts[0]) / (SIZES[1] - SIZES[0])
    assert per_provider < 4


class CountedText(str):
    """A uuid that counts how often it is compared: each step of a scan of a list is a comparison."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other):
        CountedText.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_siblings_are_not_searched_for_the_one_to_remove():
    compared = []
    for size in SIZES:
        rows = [{**row, "uuid": CountedText(row["uuid"])} for row in listing("wide", size)]
        tree = ProviderTree()
        tree.populate_from_iterable(rows)
        CountedText.compared = 0
        for row in reversed(rows):
            tree.remove(str(row["uuid"]))
        compared.append(CountedText.compared)
    assert_linear(compared)
