"""What hardly ever changes on a host, read once and kept: capabilities, domain capabilities, CPU models.

It is read again when the connection was opened anew, when libvirt's or the hypervisor's version changed, or
when emulators, swtpm or firmware came, went or were replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from drivers.errors import Absent
from drivers.libvirt.capabilities import Capabilities, GuestDomain, parse_capabilities
from drivers.libvirt.connection import Connection
from drivers.libvirt.cpu_sets import CpuMap
from drivers.libvirt.cpu_xml import Cpu, host_cpu_xml, parse_cpu
from drivers.libvirt.domain_capabilities import DomainCapabilities, parse_domain_capabilities
from drivers.libvirt.errors import LibvirtCallFailed, NotPossible, NotSupported
from drivers.libvirt.records import Versions
from drivers.root import HostRoot

LOG = logging.getLogger(__name__)

ByMachine = Mapping[str, DomainCapabilities]
DomainCapabilitiesByArch = Mapping[str, ByMachine]

# Nova's machine types for guests that ask for none (nova/virt/libvirt/utils.py).
_DEFAULT_MACHINES: Mapping[str, str] = MappingProxyType(
    {
        "aarch64": "virt",
        "armv7l": "virt",
        "i686": "pc",
        "ppc64le": "pseries",
        "s390": "s390-ccw-virtio",
        "s390x": "s390-ccw-virtio",
        "x86_64": "pc",
    }
)
# Where emulators and swtpm come and go, and where firmware is described (docs/interop/firmware.json of QEMU).
_ALSO_WATCHED = ("/usr/bin", "/usr/libexec", "/usr/share/qemu/firmware", "/etc/qemu/firmware")


class Hypervisor:
    """A connection and what it said about things that hardly change.

    :param connection: for what changes all the time; ask it directly
    :param virt_type: ``[libvirt] virt_type``
    :param machine_types: ``[libvirt] hw_machine_type``: ``x86_64=q35``, …
    :param root: the host's files
    """

    def __init__(
        self,
        connection: Connection,
        virt_type: str,
        machine_types: Sequence[str] = (),
        root: HostRoot | None = None,
    ) -> None:
        self.connection = connection
        self.virt_type = virt_type
        self.root = root or HostRoot()
        self.left_out: dict[str, str] = {}
        """What libvirt does not tell here → what is therefore not reported."""
        self._told: set[str] = set()
        self._machine_types = parse_machine_types(machine_types)
        self._versions: Versions | None = None
        self._capabilities: Capabilities | None = None
        self._domain_capabilities: DomainCapabilitiesByArch | None = None
        self._known: DomainCapabilitiesByArch = {}
        self._baselines: dict[str, frozenset[str]] = {}
        self._models: dict[str, str] | None = None
        self._seen: tuple[int, Versions] | None = None
        self._seen_files: tuple[object, ...] = ()

    def refresh(self) -> bool:
        """Forget what was read if libvirtd or the hypervisor changed since; tell whether that is so."""
        versions = self.connection.versions()
        again = (self.connection.epoch, versions) != self._seen or self._files() != self._seen_files
        if again:
            self._versions, self._capabilities, self._domain_capabilities = versions, None, None
            self._baselines, self._models, self.left_out = {}, None, {}
            self._seen_files = self._files()
            self._seen = (self.connection.epoch, versions)
        return again

    def _files(self) -> tuple[object, ...]:
        guests = self.capabilities().guests
        emulators = {
            domain.emulator for guest in guests for domain in (guest.default, *guest.domains.values())
        }
        return tuple(
            _signature(self.root, path) for path in sorted(filter(None, emulators)) + list(_ALSO_WATCHED)
        )

    @property
    def versions(self) -> Versions:
        """The versions of libvirt and the hypervisor."""
        if self._versions is None:
            self._versions = self.connection.versions()
        return self._versions

    @property
    def is_qemu(self) -> bool:
        """Whether the hypervisor is QEMU (with or without KVM): all that Nova reports can be told of it."""
        return self.versions.type == "QEMU"

    # -- capabilities

    def capabilities(self) -> Capabilities:
        """Return the host's capabilities, its CPU with all features spelled out."""
        if self._capabilities is None:
            found = parse_capabilities(self.connection.capabilities())
            # Libvirt's list names only what the model lacks; on AArch64 it is the other way round.
            if found.cpu.model is not None and found.arch != "aarch64":
                features = self._expand(found.cpu)
                found = replace(found, cpu=replace(found.cpu, features=features or found.cpu.features))
            self._capabilities = found
        return self._capabilities

    def _expand(self, cpu: Cpu) -> frozenset[str]:
        try:
            answer = self.connection.baseline_cpu(host_cpu_xml(cpu))
        except NotSupported as error:
            self.leave_out("the features of CPU models", "HW_CPU_* traits of them", error)
            return frozenset()
        return parse_cpu(answer).features if answer else frozenset()

    def model_features(self, model: str) -> frozenset[str]:
        """Return the features of a CPU model on this host's architecture; none where libvirt cannot tell."""
        if model not in self._baselines:
            cpu = replace(self.capabilities().cpu, model=model, features=frozenset())
            self._baselines[model] = self._expand(cpu)
        return self._baselines[model]

    def model_names(self) -> Mapping[str, str]:
        """Return the CPU models of this architecture: name in lower case → libvirt's spelling."""
        if self._models is None:
            self._models = {
                name.lower(): name for name in self.connection.cpu_models(self.capabilities().arch)
            }
        return self._models

    def cpu_map(self) -> CpuMap:
        """Return how many CPUs there are and which are online now; the first ones if libvirt cannot say."""
        try:
            return self.connection.cpu_map()
        except NotSupported as error:
            self.leave_out("which CPUs are online", "the difference: all CPUs count", error)
            count = self.connection.node_info().cpus
            return CpuMap(count, frozenset(range(count)))

    # -- domain capabilities

    def domain_capabilities(self) -> DomainCapabilitiesByArch:
        """Return architecture → machine type (full name and alias) → what a guest can have.

        One call a machine type that has an alias (``pc``, ``q35``), and for the default one of the
        architecture: they differ in what matters, the versions of one machine type do not. The host's own
        architecture is always there, if only empty: where KVM is not to be had libvirt refuses.
        """
        if self._domain_capabilities is None:
            found: dict[str, dict[str, DomainCapabilities]] = {}
            for guest in self.capabilities().guests:
                machines = self._read_machines(guest.arch, guest.domain(self.virt_type))
                if machines:
                    found.setdefault(guest.arch, {}).update(machines)
            found.setdefault(self.capabilities().arch, {})
            self._domain_capabilities = self._known = MappingProxyType(found)
        return self._domain_capabilities

    def _read_machines(self, arch: str, domain: GuestDomain) -> dict[str, DomainCapabilities]:
        found: dict[str, DomainCapabilities] = {}
        default = self._machine_types.get(arch, _DEFAULT_MACHINES.get(arch))
        for machine in dict.fromkeys([default, *domain.aliases]):
            if machine in found:
                continue
            try:
                text = self.connection.domain_capabilities(domain.emulator, arch, machine, self.virt_type)
            except NotSupported as error:
                self.leave_out("domain capabilities", "traits of buses, graphics, TPM and firmware", error)
                return {}
            except NotPossible as error:
                # As when other architectures' emulators are asked for KVM.
                LOG.info("No guests of %s, machine %s, type %s: %s", arch, machine, self.virt_type, error)
                continue
            except LibvirtCallFailed as error:
                # No word on what guests can have: what was known holds, and we ask again. Of the host's own
                # architecture something must be known, or traits would go that may well hold.
                if arch == self.capabilities().arch and arch not in self._known:
                    raise
                LOG.warning("Cannot tell what guests of %s, machine %s, can have: %s", arch, machine, error)
                self._seen = None
                found.update(self._known.get(arch, {}))
                continue
            capabilities = parse_domain_capabilities(text)
            for name in filter(None, (capabilities.machine, machine)):
                found[name] = capabilities
        return found

    def leave_out(self, what: str, consequence: str, reason: object = "") -> None:
        """Say, once, what libvirt does not tell here and what is therefore not reported."""
        self.left_out[what] = consequence
        if what not in self._told:
            self._told.add(what)
            because = f" ({reason})" if reason else ""
            LOG.warning(
                "%s does not tell %s; left out: %s%s", self.connection.uri, what, consequence, because
            )


def parse_machine_types(settings: Sequence[str]) -> dict[str, str]:
    """Return architecture → machine type of ``ARCH=MACHINE`` settings; the first one counts."""
    found: dict[str, str] = {}
    for setting in settings:
        arch, _, machine = setting.partition("=")
        if not machine:
            LOG.warning("[libvirt] hw_machine_type: %r is not ARCHITECTURE=MACHINE; ignored", setting)
            continue
        found.setdefault(arch, machine)
    return found


def _signature(root: HostRoot, path: str) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that replaces it; None where there is none."""
    try:
        info = root.locate(path).stat()
    except (Absent, OSError):
        return None
    return info.st_mtime_ns, info.st_ino, info.st_size
