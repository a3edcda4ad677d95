"""Records that Placement would refuse, found before anything is written.

One that an operator's provider file has is left out, and said: the rest of the host need not wait until the
file is corrected. One that a driver has is an error: nobody knows what else is wrong with what it says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provider_tree import lint
from reporter.errors import InvalidWish

if TYPE_CHECKING:
    from provider_tree import Finding, Provider, ProviderTree, Source
    from reporter.merge import Merged


def left_out(merged: Merged, current: ProviderTree, desired: ProviderTree) -> Merged:
    """What is to be, without unfit records of files: those are as ``current`` has them, or not there.

    Only what is to be written is looked at: what Placement has already is for ``audit``.

    :param desired: what the driver and the overlays want, with their notes
    :raises reporter.errors.InvalidWish: something else that Placement would refuse
    """
    findings = _refused(merged.tree, current)
    if not findings:
        return merged
    sources = [_source(each, desired) for each in findings]
    serious = [
        (each, source)
        for each, source in zip(findings, sources, strict=True)
        if source is None or source.kind != "document" or each.resource_class is None
    ]
    if serious:
        finding, source = serious[0]
        more = f" (and {len(serious) - 1} more)" if len(serious) > 1 else ""
        raise InvalidWish(
            f"not fit for Placement: {finding}{more}",
            f"correct {source.detail if source else 'what the driver reads this from'}",
        )
    tree = merged.tree.copy()
    for finding in findings:
        tree.replace(_with_record_of(current, tree.provider(finding.uuid), finding.resource_class or ""))
    told = [
        f"{each.resource_class} of {each.provider} left out: {each.field} {each.message} ({source.detail})"
        for each, source in zip(findings, sources, strict=True)
        if source is not None
    ]
    return replace(merged, tree=tree, notices=(*merged.notices, *told))


def _refused(wanted: ProviderTree, current: ProviderTree) -> list[Finding]:
    had = current.by_uuid()
    changed = {uuid: each for uuid, each in wanted.by_uuid().items() if had.get(uuid) is not each}
    return [
        each
        for each in lint(changed.values())
        if each.refused and not _has_already(each, changed[each.uuid], current)
    ]


def _has_already(finding: Finding, wanted: Provider, current: ProviderTree) -> bool:
    if wanted.uuid not in current:
        return False
    had = current.provider(wanted.uuid)
    name = finding.resource_class
    if name is not None:
        return name in had.inventory and had.inventory[name] == wanted.inventory.get(name)
    kind, _, value = (finding.field or "").partition(".")
    return value in {"traits": had.traits, "aggregates": had.aggregates}.get(kind, ())


def _source(finding: Finding, desired: ProviderTree) -> Source | None:
    """Where the record comes from, if that has been noted."""
    if finding.uuid not in desired:
        return None
    notes, name = desired.provider(finding.uuid).notes, finding.resource_class
    if name is None:
        return notes.get(finding.field or "")
    return notes.get(f"{name}.{finding.field}") or notes.get(name)


def _with_record_of(current: ProviderTree, provider: Provider, resource_class: str) -> Provider:
    inventory = {name: each for name, each in provider.inventory.items() if name != resource_class}
    had = current.provider(provider.uuid).inventory if provider.uuid in current else {}
    if resource_class in had:
        inventory[resource_class] = had[resource_class]
    return replace(provider, inventory=inventory)
