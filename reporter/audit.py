"""What is wrong in Placement around our nodes: one small function a kind of finding. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import DriverError
from provider_tree import lint
from provider_tree.errors import ExplainedError
from reporter import identity, sightings
from reporter.adoption import is_ours
from reporter.contest import WHY
from reporter.errors import IdentityError, InvalidWish
from reporter.placement.usages import read_usages
from reporter.state.ledger import Ledger, load_ledger

if TYPE_CHECKING:
    from provider_tree import Finding, Provider
    from reporter.report import Report
    from reporter.state.directory import StateDirectory
    from reporter.sync import Reporter

ORPHAN_DAYS = 7.0

Usages = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that a person should look at.

    :ivar kind: ``stray node``, ``orphan``, ``clash``, ``failing node``, ``unknown consumer``, ``stray
        trait``, ``contested record`` or ``unhealthy record``
    :ivar advice: what to do about it
    """

    kind: str
    provider: str
    uuid: str
    message: str
    advice: str


def audit(
    reporter: Reporter, nodes: list[str], *, orphan_days: float = ORPHAN_DAYS, now: float | None = None
) -> list[AuditFinding]:
    """Look at these nodes of the driver's, and at all nodes that the state directory knows.

    :param now: seconds since the epoch
    :raises reporter.placement.errors.PlacementError: Placement does not answer
    :raises reporter.errors.StateError: what is known of a node cannot be read
    """
    now = time.time() if now is None else now
    findings: list[AuditFinding] = []
    roots: set[str | None] = set()
    for node in nodes:
        try:
            report = reporter.sync_once(node, dry_run=True)
            roots.add(report.root_uuid)
            findings += _of_node(reporter, report, now)
        except (IdentityError, InvalidWish, DriverError) as error:
            findings.append(_failing(reporter.state, node, error))
    present = {*nodes, *reporter.nodes(refresh=False)}
    strays = stray_nodes(reporter, present, roots, orphan_days, now)
    return [*strays, *findings]


def _of_node(reporter: Reporter, report: Report, now: float) -> Iterator[AuditFinding]:
    ledger = report.ledger or Ledger(report.node)
    usages = _usages(reporter, report)
    yield from clashes(reporter, report)
    yield from orphans(reporter, report, ledger, usages)
    yield from stray_traits(reporter, report, ledger)
    yield from contested_records(report)
    yield from unhealthy_records(report, usages)
    yield from unknown_consumers(reporter, report, now)


def _failing(state: StateDirectory, node: str, error: ExplainedError) -> AuditFinding:
    kind = "clash" if isinstance(error, IdentityError) else "failing node"
    return AuditFinding(kind, node, load_ledger(state, node).root_uuid or "", error.what, error.advice or "")


def stray_nodes(
    reporter: Reporter,
    present: Collection[str],
    roots: Collection[str | None],
    orphan_days: float,
    now: float,
) -> Iterator[AuditFinding]:
    """Providers of ours whose node the driver no longer has.

    :param present: the driver's nodes; ``roots``, the uuids of their roots (a host may have been renamed)
    """
    client, state, manage = reporter.client, reporter.state, reporter.settings.manage
    known = {load_ledger(state, node).root_uuid for node in present}
    for node in state.nodes():
        ledger = load_ledger(state, node)
        if node in present or ledger.root_uuid is None or ledger.root_uuid in {*roots, *known}:
            continue
        ours = [each for each in client.list_tree(ledger.root_uuid) if is_ours(ledger, each, manage)]
        if not ours:
            continue
        days = (now - _last_reported(state, node)) / 86400
        used = any(any(client.usages(each.uuid).values()) for each in ours)
        count = f"{len(ours)} provider{'s' if len(ours) > 1 else ''} of ours"
        yield AuditFinding(
            "orphan" if days >= orphan_days and not used else "stray node",
            node,
            ledger.root_uuid,
            f"{count} of a node that the driver does not have; reported {days:.1f} days ago; "
            f"{'has allocations' if used else 'no allocations'}",
            f"if the host is gone: placement-reporter forget {node} --delete",
        )


def clashes(reporter: Reporter, report: Report) -> Iterator[AuditFinding]:
    """A name or a uuid of the node belongs to another provider, or its root is not ours."""
    root, node = report.root_uuid, report.node
    if report.adoption is not None:
        yield AuditFinding("clash", node, root, report.adoption.what, report.adoption.advice or "")
    if root not in report.current:
        return
    name = report.current.provider(root).name
    if name != node:
        holder = reporter.client.find_provider(node)
        if holder is not None:
            yield AuditFinding(
                "clash",
                node,
                holder.uuid,
                f"the name {node} belongs to provider {holder.uuid}, and this node is {root} ({name})",
                f"if that is a leftover: openstack resource provider delete {holder.uuid}",
            )
        elif reporter.settings.manage == "tree":
            yield AuditFinding(
                "clash",
                name,
                root,
                f"the provider of node {node} is called {name}",
                "if the host was renamed: sync gives the provider its new name; else check compute_id",
            )
    clash = identity.clash(reporter.client, report.changes, root)
    if clash is not None:
        yield AuditFinding("clash", node, root, clash.what, clash.advice or "")


def orphans(reporter: Reporter, report: Report, ledger: Ledger, usages: Usages) -> Iterator[AuditFinding]:
    """Providers with our mark below our root that the ledger does not know and nobody reports or uses."""
    desired = report.desired.by_uuid()
    driver_tells = any(each.notes for each in desired.values())
    for provider in report.current.providers():
        wanted = desired.get(provider.uuid)
        if wanted is not None and (wanted.notes or not driver_tells or wanted != provider):
            continue
        if _made_before(reporter, provider, ledger) and provider.uuid != report.root_uuid:
            if any(usages.get(provider.uuid, {}).values()):
                continue
            yield AuditFinding(
                "orphan",
                provider.name,
                provider.uuid,
                "has our mark and no allocations, is not in our ledger, and the driver does not report it",
                f"if nothing else here makes it: openstack resource provider delete {provider.uuid}",
            )


def stray_traits(reporter: Reporter, report: Report, ledger: Ledger) -> Iterator[AuditFinding]:
    """Traits that a lost ledger may have known as ours, and that no driver will ever take away."""
    vocabulary = reporter.driver.vocabulary
    for provider in report.current.providers():
        if not _made_before(reporter, provider, ledger) or provider.uuid not in report.desired:
            continue
        entry = ledger.entry(provider.uuid)
        noted = {name.removeprefix("traits.") for name in report.desired.provider(provider.uuid).notes}
        accounted = {reporter.settings.owner_trait, *noted, *(entry.traits if entry else ())}
        stray = sorted(each for each in provider.traits - accounted if not vocabulary.has_trait(each))
        if stray:
            yield AuditFinding(
                "stray trait",
                provider.name,
                provider.uuid,
                f"{', '.join(stray)}: ours from before the ledger was lost, or somebody else's",
                "if nobody needs them: openstack resource provider trait delete or set",
            )


def _made_before(reporter: Reporter, provider: Provider, ledger: Ledger) -> bool:
    """Whether we made the provider, says its mark, in a time that the ledger does not reach back to."""
    entry = ledger.entry(provider.uuid)
    return reporter.settings.owner_trait in provider.traits and not (entry and entry.created)


def contested_records(report: Report) -> Iterator[AuditFinding]:
    """Records that are left alone since another writer keeps changing them back."""
    for each in report.held:
        if each.why == WHY:
            yield AuditFinding(
                "contested record",
                each.change.provider,
                each.change.uuid,
                f"{each.change}: {each.why}",
                "find the other writer; 'placement-reporter sync --force' sets it once more",
            )


def unhealthy_records(report: Report, usages: Usages) -> Iterator[AuditFinding]:
    """Records that Placement took though they break scheduling."""
    names = {
        name for each in report.current.providers() for name in (*each.traits, *each.inventory)
    }  # Placement has them, so it knows them
    for each in lint(report.current, usages, known=names):
        if not _set_aside(each, report.current.provider(each.uuid)):
            where = ".".join(part for part in (each.resource_class, each.field) if part)
            yield AuditFinding(
                "unhealthy record",
                each.provider,
                each.uuid,
                f"{where}: {each.message}",
                "a sync corrects it if the driver reports it; else its owner must",
            )


def _set_aside(finding: Finding, provider: Provider) -> bool:
    """Whether it is a device that its present user shall be the last to get (one_time_use)."""
    record = provider.inventory.get(finding.resource_class or "", {})
    return finding.field == "reserved" and record.get("total") == record.get("reserved") == 1


def unknown_consumers(reporter: Reporter, report: Report, now: float) -> Iterator[AuditFinding]:
    """Consumers that the hypervisor has not known for an hour of sightings, and does not know now."""
    since = sightings.unknown_since(reporter.state, report.node, now)
    lasting = {each for each, first in since.items() if now - first >= sightings.SPAN}
    found = sightings.unknown_consumers(reporter, report.current.providers()) if lasting else None
    for consumer in sorted(lasting & (found or {}).keys()):
        provider = (found or {})[consumer]
        yield AuditFinding(
            "unknown consumer",
            provider.name,
            provider.uuid,
            f"consumer {consumer} has allocations here, and the hypervisor has not known it for "
            f"{(now - since[consumer]) / 3600:.1f} h",
            "it may be a migration, a resize to confirm or a build (openstack server show tells); "
            f"if there is none: openstack resource provider allocation delete {consumer}",
        )


def _usages(reporter: Reporter, report: Report) -> dict[str, dict[str, int]]:
    uuids = [each.uuid for each in report.current.providers() if each.inventory]
    with ThreadPoolExecutor(reporter.settings.connections) as executor:
        return read_usages(reporter.client, uuids, report.current, executor)


def _last_reported(state: StateDirectory, node: str) -> float:
    """Seconds since the epoch: each cycle that writes saves one of these files, the service now and then."""
    times = [0.0]
    for kind in ("ledger", "snapshot", "sightings"):
        found = state.identity(state.node_file(node, kind))
        if found is not None:
            times.append(found[2] / 1e9)
    return max(times)
