"""vPMEM: persistent memory namespaces of ``[libvirt] pmem_namespaces``, one resource class a label, on the
node itself.

``ndctl list -X`` tells which namespaces the host has (https://docs.pmem.io/ndctl-user-guide).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import os_resource_classes
from oslo_config import cfg, types

from drivers.base import Allocations, Vocabulary
from drivers.errors import DriverOptionError, HostReadError
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.parts import Part
from provider_tree.source import Source
from provider_tree.tree import ProviderTree

OPTION = "[libvirt] pmem_namespaces"
CLASS_PREFIX = "CUSTOM_PMEM_NAMESPACE_"
_COMMAND = ("ndctl", "list", "-X")
_TIME_LIMIT = 30.0
_SYNTAX = "write LABEL:NAMESPACE|NAMESPACE,LABEL:NAMESPACE, e.g. 128G:ns0|ns1,MEDIUM:ns2"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A persistent memory namespace of the host; ``size`` and ``align`` in bytes.

    :param label: what ``[libvirt] pmem_namespaces`` calls namespaces like this one
    """

    name: str
    devpath: str
    size: int
    align: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespace as something that an instance can be assigned: what Nova keeps beside the inventory."""

    provider_uuid: str
    resource_class: str
    identifier: str
    metadata: Namespace = field(hash=False)


def parse_ndctl(text: str) -> dict[str, Namespace]:
    """Return name → namespace from the output of ``ndctl list -X``; those without a name cannot be used.

    :raises HostReadError: it is not as ndctl writes it
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
        return {each["name"]: _namespace(each) for each in found if each.get("name")}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise HostReadError(
            f"cannot understand what {' '.join(_COMMAND)} prints ({type(error).__name__}: {error})",
            "run it by hand; nothing is reported from it until it reads as documented",
        ) from error


def _namespace(given: Mapping[str, Any]) -> Namespace:
    region = given["daxregion"]
    return Namespace(given["name"], f"/dev/{region['devices'][0]['chardev']}", given["size"], region["align"])


def choose_namespaces(entries: Sequence[str], there: Mapping[str, Namespace]) -> dict[str, list[Namespace]]:
    """Return resource class → its namespaces, in the order of the option.

    :param entries: the values of ``[libvirt] pmem_namespaces``: ``LABEL:NAMESPACE|NAMESPACE``
    :raises DriverOptionError: one is malformed, or names a namespace twice or one that the host does not have
    """
    chosen: dict[str, list[Namespace]] = {}
    taken: set[str] = set()
    for entry in entries:
        label, colon, names = entry.partition(":")
        if not colon:
            raise DriverOptionError(f"{OPTION}: {entry!r} has no label", _SYNTAX)
        resource_class = str(os_resource_classes.normalize_name(f"PMEM_NAMESPACE_{label}"))
        for name in names.split("|"):
            if name not in there:
                has = ", ".join(sorted(there)) or "none"
                raise DriverOptionError(f"{OPTION}: this host has no namespace {name!r}", f"it has: {has}")
            if name in taken:
                raise DriverOptionError(f"{OPTION}: {name} is named twice", "name each namespace once")
            taken.add(name)
            found = there[name]
            labelled = Namespace(found.name, found.devpath, found.size, found.align, label)
            chosen.setdefault(resource_class, []).append(labelled)
    return chosen


def read_ndctl() -> str:
    """Return what ``ndctl list -X`` prints.

    :raises HostReadError: it is not installed, fails, or does not end
    """
    advice = f"install ndctl and run as a user who may use it, or unset {OPTION}"
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostReadError(f"cannot run {' '.join(_COMMAND)}: {error}", advice) from error
    if done.returncode:
        raise HostReadError(f"{' '.join(_COMMAND)} failed: {done.stderr.strip() or done.returncode}", advice)
    return done.stdout


class VpmemPart(Part):
    """The namespaces as inventory of the node itself; read once, since they do not change while they are in
    use.
    """

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = {
        "libvirt": (
            cfg.ListOpt(
                "pmem_namespaces",
                item_type=types.String(),
                default=[],
                help="Persistent memory namespaces that instances may have, as LABEL:NAMESPACE|NAMESPACE,…; "
                f"each label is reported as {CLASS_PREFIX}LABEL.",
            ),
        ),
    }
    vocabulary: Vocabulary = Vocabulary(class_prefixes=(CLASS_PREFIX,))

    def __init__(self, conf: cfg.ConfigOpts, hypervisor: Hypervisor) -> None:
        super().__init__(conf, hypervisor)
        self._entries: Sequence[str] = conf.libvirt.pmem_namespaces
        self._chosen: Mapping[str, Sequence[Namespace]] | None = None if self._entries else {}

    def check(self) -> None:
        """Refuse namespaces that the host does not have.

        :raises DriverOptionError: see :func:`choose_namespaces`
        """
        self._namespaces()

    def _namespaces(self) -> Mapping[str, Sequence[Namespace]]:
        if self._chosen is None:
            self._chosen = choose_namespaces(self._entries, parse_ndctl(read_ndctl()))
        return self._chosen

    def update(self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None) -> None:
        """Put the classes of the namespaces on the node, and take away those of namespaces that are not
        configured.
        """
        put_namespaces(provider_tree, nodename, self._namespaces())


def put_namespaces(tree: ProviderTree, node: str, chosen: Mapping[str, Sequence[Namespace]]) -> None:
    """Make the namespaces that the node has in the tree those of ``chosen`` (by class)."""
    root = tree.provider(node)
    inventory: dict[str, Mapping[str, Any]] = {
        name: record for name, record in root.inventory.items() if not name.startswith(CLASS_PREFIX)
    }
    for resource_class, namespaces in chosen.items():
        count = len(namespaces)
        inventory[resource_class] = {
            "total": count,
            "reserved": 0,
            "min_unit": 1,
            "max_unit": count,
            "step_size": 1,
            "allocation_ratio": 1.0,
        }
    tree.update_inventory(node, inventory)
    resources = {
        resource_class: {Resource(root.uuid, resource_class, each.name, each) for each in namespaces}
        for resource_class, namespaces in chosen.items()
    }
    tree.update_resources(node, resources)
    for resource_class, namespaces in chosen.items():
        names = ", ".join(each.name for each in namespaces)
        tree.note(node, resource_class, Source("configuration", f"{OPTION}: {names}", len(namespaces)))
