"""Hypothesis strategies for trees of resource providers that Placement would take."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from provider_tree import Provider, ProviderTree
from provider_tree.inventory import MAX_INT

CLASSES = ("VCPU", "PCPU", "MEMORY_MB", "DISK_GB", "VGPU", "SRIOV_NET_VF")
TRAITS = ("COMPUTE_NODE", "HW_CPU_X86_AVX2", "HW_NUMA_ROOT", "MISC_SHARES_VIA_AGGREGATE", "OWNER_NOVA")

custom_names = st.text("ABZ019_", min_size=1, max_size=8).map("CUSTOM_".__add__)
resource_classes = st.sampled_from(CLASSES) | custom_names
traits = st.frozensets(st.sampled_from(TRAITS) | custom_names, max_size=3)
uuids = st.uuids().map(str)
aggregates = st.frozensets(uuids, max_size=2)
provider_names = st.sampled_from([f"compute-{n}" for n in range(4)]) | st.text(min_size=1, max_size=20)
ratios = st.floats(0.01, 1000, allow_subnormal=False)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """An inventory record; any of the fields that have a default may be left out."""
    total = draw(st.integers(1, 256) | st.integers(1, MAX_INT))
    least = draw(st.integers(1, 4))
    record = {
        "reserved": draw(st.integers(0, total)),
        "min_unit": least,
        "max_unit": draw(st.integers(least, 1024) | st.just(MAX_INT)),
        "step_size": draw(st.integers(1, 4)),
        "allocation_ratio": draw(ratios),
    }
    kept = draw(st.sets(st.sampled_from(sorted(record))))
    return {"total": total} | {key: value for key, value in record.items() if key in kept}


inventories = st.dictionaries(resource_classes, records(), max_size=2)


@st.composite
def valid_trees(
    draw: st.DrawFn, min_size: int = 0, max_size: int = 6, roots: int | None = None
) -> ProviderTree:
    """A tree, or several in one: `roots` limits how many."""
    size = draw(st.integers(min_size, max_size))
    names = draw(st.lists(provider_names, min_size=size, max_size=size, unique=True))
    ids = draw(st.lists(uuids, min_size=size, max_size=size, unique=True))
    providers: list[Provider] = []
    for at, (name, uuid) in enumerate(zip(names, ids, strict=True)):
        may_be_root = roots is None or sum(each.parent_uuid is None for each in providers) < roots
        parents: list[str | None] = [each.uuid for each in providers]
        if may_be_root:
            parents.append(None)
        parent = None if at == 0 else draw(st.sampled_from(parents))
        providers.append(draw(contents(Provider(uuid, name, draw(generations), parent))))
    return ProviderTree.from_providers(providers)


generations = st.none() | st.integers(0, 9)


@st.composite
def contents(draw: st.DrawFn, provider: Provider) -> Provider:
    """The provider with an inventory, traits and aggregates."""
    return Provider(
        provider.uuid,
        provider.name,
        provider.generation,
        provider.parent_uuid,
        draw(inventories),
        draw(traits),
        draw(aggregates),
    )


@st.composite
def edited(draw: st.DrawFn, tree: ProviderTree, max_edits: int = 5) -> ProviderTree:
    """A copy of the tree after a few edits of any kind."""
    tree = tree.copy()
    for _ in range(draw(st.integers(0, max_edits))):
        edit = draw(st.sampled_from(EDITS))
        edit(draw, tree)
    return tree


@st.composite
def tree_pairs(draw: st.DrawFn, min_size: int = 0, max_size: int = 6) -> tuple[ProviderTree, ProviderTree]:
    """A tree and what became of it, which may be something that no order of requests makes."""
    tree = draw(valid_trees(min_size, max_size))
    return tree, draw(edited(tree))


def _any(draw: st.DrawFn, tree: ProviderTree) -> Provider | None:
    providers = list(tree.providers())
    return draw(st.sampled_from(providers)) if providers else None


def _free_name(draw: st.DrawFn, tree: ProviderTree) -> str:
    return draw(provider_names.filter(lambda name: name not in tree))


def _add(draw: st.DrawFn, tree: ProviderTree) -> None:
    parent = _any(draw, tree)
    name, uuid = _free_name(draw, tree), draw(uuids.filter(lambda uuid: uuid not in tree))
    if parent is None:
        tree.new_root(name, uuid)
    else:
        tree.new_child(name, parent.uuid, uuid=uuid)
    tree.replace(draw(contents(tree.provider(uuid))))


def _remove(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _any(draw, tree):
        tree.remove(provider.uuid)


def _rename(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _any(draw, tree):
        tree.rename(provider.uuid, _free_name(draw, tree))


def _swap_names(draw: st.DrawFn, tree: ProviderTree) -> None:
    one, other = _any(draw, tree), _any(draw, tree)
    if one and other and one is not other:
        tree.rename(one.uuid, _free_name(draw, tree))
        tree.rename(other.uuid, one.name)
        tree.rename(one.uuid, other.name)


def _move(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _any(draw, tree):
        below = set(tree.get_provider_uuids(provider.uuid))
        parents = [None, *(each.uuid for each in tree.providers() if each.uuid not in below)]
        tree.move(provider.uuid, draw(st.sampled_from(parents)))


def _refill(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _any(draw, tree):
        tree.replace(draw(contents(provider)))


EDITS = (_add, _remove, _rename, _swap_names, _move, _refill, _refill)
