"""The connection to libvirt: the only importer of libvirt, reading calls only.

It is a read-write connection (libvirt refuses domain capabilities to a read-only one), but nothing here
changes anything. Every call runs off the caller's thread with a time limit (lanes.py). A connection that
broke, because libvirtd was restarted, is opened again, with pauses while the daemon is not back yet.

https://libvirt.org/html/libvirt-libvirt-host.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import libvirt

from drivers.libvirt import watching
from drivers.libvirt.cpu_sets import CpuMap
from drivers.libvirt.errors import (
    LibvirtCallFailed,
    LibvirtError,
    LibvirtStuck,
    LibvirtUnreachable,
    NotPossible,
    NotSupported,
    NotThere,
)
from drivers.libvirt.events import ConnectionOpened, Heard
from drivers.libvirt.lanes import Hung, Lanes
from drivers.libvirt.reach import Reach
from drivers.libvirt.records import BlockSize, Domain, DomainUse, NodeDevice, NodeInfo, Versions
from drivers.libvirt.xmltext import malformed_xml

LOG = logging.getLogger(__name__)
T = TypeVar("T")

_CREDENTIALS = (
    libvirt.VIR_CRED_AUTHNAME,
    libvirt.VIR_CRED_ECHOPROMPT,
    libvirt.VIR_CRED_REALM,
    libvirt.VIR_CRED_PASSPHRASE,
    libvirt.VIR_CRED_NOECHOPROMPT,
    libvirt.VIR_CRED_EXTERNAL,
)
_PARENT = re.compile("<parent>(.*?)</parent>")
_CAPABILITIES = re.compile("<capability type=['\"]([a-z0-9_]+)")
_IMPOSSIBLE = {
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
}
_NO_SUCH_THING = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_NODE_DEVICE}
_TRANSPORT = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
_BROKEN = {libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_INVALID_CONN}


class Connection:
    """A libvirt, asked for facts.

    :param uri: libvirt's URI, e.g. ``qemu:///system``
    :param time_limit: seconds that one call may take
    """

    def __init__(self, uri: str, time_limit: float = 60.0) -> None:
        self.uri = uri
        self.epoch = 0
        """How often the connection was opened: when it grows, libvirtd may be another one."""
        self._time_limit = time_limit
        self._sink: Callable[[Heard], object] | None = None
        self._lanes: Lanes[Any] = Lanes(self._open, self._shut, time_limit)
        self._listening: dict[int, Callable[[], None]] = {}  # by id() of the virConnect
        self._reach = Reach(self._once, lambda c: c.getLibVersion())
        libvirt.registerErrorHandler(_stay_silent, None)

    # -- life

    def watch(self, sink: Callable[[Heard], object]) -> None:
        """Have ``sink`` called, from a thread of its own, with what libvirt says unasked.

        A connection that was opened before is given up: it is not heard. One that is being listened to stays.
        """
        if self._sink == sink:
            return
        self._sink = sink
        self._reach.tell_return(self._answers_again)
        self._lanes.late = self._answers_again
        watching.start_loop(libvirt)
        self._lanes.drop()

    def close(self) -> None:
        """Close the connection, and listen no more; a later call opens it again."""
        self._sink = None
        self._reach.close()
        self._lanes.close()

    def _answers_again(self) -> None:
        if (sink := self._sink) is not None:
            sink(ConnectionOpened())

    def _open(self) -> Any:
        try:
            connection = libvirt.openAuth(self.uri, [list(_CREDENTIALS), _refuse_to_log_in, None], 0)
        except libvirt.libvirtError as error:
            raise LibvirtUnreachable(
                f"cannot connect to libvirt at {self.uri}: {error.get_error_message()}",
                _how_to_start(self.uri),
            ) from error
        self.epoch += 1
        if self._sink is not None:
            self._listening[id(connection)] = watching.register(libvirt, connection, self._sink)
        return connection

    def _shut(self, connection: Any) -> None:
        if (unregister := self._listening.pop(id(connection), None)) is not None:
            unregister()
        try:
            connection.close()
        except libvirt.libvirtError as error:
            LOG.debug("Closing a connection: %s", error)

    def _call(self, function: Callable[[Any], T]) -> T:
        """Return ``function(virConnect)``."""
        return self._reach.call(function)

    def _once(self, function: Callable[[Any], T]) -> T:
        try:
            return self._lanes.call(function)
        except libvirt.libvirtError as error:
            explained = explain(error, self.uri)
            if isinstance(explained, LibvirtUnreachable):
                self._lanes.drop()
            raise explained from error
        except Hung as hung:
            raise _stuck(hung, self.uri, self._time_limit) from hung

    # -- the host

    def versions(self) -> Versions:
        """Return the versions of libvirt and of the hypervisor."""
        return self._call(lambda c: Versions(c.getLibVersion(), _hypervisor_version(c), c.getType()))

    def hostname(self) -> str:
        """Return the name that libvirt gives the host: Nova's name of the node."""
        return str(self._call(lambda c: c.getHostname()))

    def node_info(self) -> NodeInfo:
        """Return the host in numbers."""
        info = self._call(lambda c: c.getInfo())
        return NodeInfo(memory_mib=info[1], cpus=info[2], mhz=info[3])

    def cpu_map(self) -> CpuMap:
        """Return how many CPUs there are and which are online."""
        total, online, _ = self._call(lambda c: c.getCPUMap())
        return CpuMap(total, frozenset(cpu for cpu in range(total) if online[cpu]))

    def cpu_stats(self) -> dict[str, int]:
        """Return what all CPUs together did since boot: kernel, idle, user, iowait in ns."""
        return dict(self._call(lambda c: c.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS, 0)))

    def capabilities(self) -> str:
        """Return the capabilities document."""
        return str(self._call(lambda c: c.getCapabilities()))

    def domain_capabilities(
        self, emulator: str | None, arch: str | None, machine: str | None, virt_type: str | None
    ) -> str:
        """Return the domain capabilities document; libvirt chooses what is None."""
        return str(self._call(lambda c: c.getDomainCapabilities(emulator, arch, machine, virt_type, 0)))

    def cpu_models(self, arch: str) -> list[str]:
        """Return the CPU models that libvirt knows for an architecture."""
        return list(self._call(lambda c: c.getCPUModelNames(arch)) or [])

    def baseline_cpu(self, cpu_xml: str) -> str | None:
        """Return a CPU with all its features spelled out.

        :raises NotSupported: libvirt cannot do that for this hypervisor or architecture
        """
        flag = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        answer = self._call(lambda c: c.baselineCPU([cpu_xml], flag))
        return str(answer) if answer else None

    def compare_hypervisor_cpu(self, cpu_xml: str) -> int:
        """Return whether guests can have a CPU: > 0 for yes (virCPUCompareResult)."""
        return int(self._call(lambda c: c.compareHypervisorCPU(None, None, None, None, cpu_xml, 0)))

    # -- guests

    def domains(self) -> list[Domain]:
        """Return all guests, running or not."""
        return self._call(
            lambda c: [
                Domain(d.name(), d.UUIDString(), d.ID() >= 0) for d in c.listAllDomains(0)
            ]  # ID -1: not running
        )

    def domain_uses(self) -> list[DomainUse]:
        """Return what each running guest takes; one that ends meanwhile may count as one CPU."""
        running = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        return self._call(lambda c: [_use(d) for d in c.listAllDomains(running)])

    def domain_xmls(self) -> dict[str, str]:
        """Return uuid → XML description of all guests; those that vanish meanwhile are left out."""
        return dict(self._call(lambda c: _present((d.UUIDString(), d.XMLDesc) for d in c.listAllDomains(0))))

    def has_domain(self, uuid: str) -> bool:
        """Tell whether there is a guest of that uuid, running or not."""
        try:
            self._call(lambda c: c.lookupByUUIDString(uuid))
        except NotThere:
            return False
        return True

    def block_size(self, uuid: str, disk: str) -> BlockSize:
        """Return the sizes of a guest's disk, named by its target or path.

        :raises NotThere: the guest has gone
        """
        capacity, allocation, _ = self._call(lambda c: c.lookupByUUIDString(uuid).blockInfo(disk, 0))
        return BlockSize(capacity, allocation)

    # -- devices

    def node_devices(self, *capabilities: str) -> list[NodeDevice]:
        """Return the devices that have any of the capabilities; those that vanish meanwhile are left out.

        :param capabilities: as in ``virsh nodedev-list --cap``: ``pci``, ``net``, ``mdev``, ``mdev_types``,
            ``vdpa`` …
        :raises NotSupported: this hypervisor's driver knows no devices
        """
        flags = 0
        for name in capabilities:
            flags |= _device_flag(name)
        return self._call(lambda c: [device for d in c.listAllDevices(flags) if (device := _device(d))])

    def inactive_mdevs(self) -> frozenset[str]:
        """Return the names of the mediated devices that are defined but not started."""
        flags = _device_flag("mdev") | libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE
        try:
            return frozenset(self._call(lambda c: [d.name() for d in c.listAllDevices(flags)]))
        except (NotPossible, NotSupported):  # as libvirt's test driver says
            return frozenset()


def is_broken(error: libvirt.libvirtError) -> bool:
    """Tell whether the connection broke: the error says nothing of what was asked."""
    return error.get_error_code() in _BROKEN and error.get_error_domain() in _TRANSPORT


def explain(error: libvirt.libvirtError, uri: str) -> LibvirtError:
    """Return libvirt's error as one of ours."""
    code, text = error.get_error_code(), error.get_error_message() or str(error)
    if is_broken(error):
        return LibvirtUnreachable(f"the connection to libvirt at {uri} broke: {text}", _how_to_start(uri))
    kind = LibvirtCallFailed
    if code == libvirt.VIR_ERR_NO_SUPPORT:
        kind = NotSupported
    elif code in _IMPOSSIBLE:
        kind = NotPossible
    elif code in _NO_SUCH_THING:
        kind = NotThere
    return kind(f"libvirt at {uri} says: {text}", "see the log of libvirtd", code)


def _stuck(hung: Hung, uri: str, limit: float) -> LibvirtStuck:
    advice = "see what libvirtd waits for, or restart it; [reporter] libvirt_time_limit is how long we wait"
    if hung.refused:
        return LibvirtStuck(f"libvirt at {uri} still hangs: {hung.lanes} calls are unanswered", advice)
    return LibvirtStuck(f"libvirt at {uri} did not answer within {limit:g} s", advice)


def _how_to_start(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    driver, _, transport = scheme.partition("+")
    host, _, path = rest.partition("?")[0].partition("/")
    if driver != "qemu" or path not in ("system", "session"):
        return "see that [libvirt] connection_uri and virt_type are right and its daemon runs"
    if host or transport not in ("", "unix"):
        return f"see that its daemon runs there and lets us in: virsh -c '{uri}' version"
    return "start it (systemctl start libvirtd, or virtqemud.socket) and run as a user who may connect"


def _refuse_to_log_in(credentials: Sequence[object], _opaque: object) -> int:
    """Give libvirt no user name or password: a service has nobody to ask for one."""
    return -1 if credentials else 0


def _stay_silent(_context: object, _error: object) -> None:
    """Keep libvirt from printing errors to stderr: they are raised as well."""


def told(ask: Callable[[], T], otherwise: T) -> T:
    """Return what libvirt says, or ``otherwise`` where it cannot tell.

    :raises libvirt.libvirtError: the connection broke
    """
    try:
        return ask()
    except libvirt.libvirtError as error:
        if is_broken(error):
            raise
        return otherwise


def _hypervisor_version(connection: Any) -> int:
    try:
        return int(connection.getVersion())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return 0


def _use(domain: Any) -> DomainUse:
    # Under TCG and in containers libvirt cannot tell the CPUs; none at all would be worse than one.
    vcpus = told(lambda: len(domain.vcpus()[0]), 1)
    memory_kib = told(lambda: int(domain.info()[2]), None)
    return DomainUse(domain.UUIDString(), vcpus, memory_kib)


def _present(described: Any) -> list[tuple[str, str]]:
    found = []
    for uuid, describe in described:
        try:
            found.append((uuid, describe(0)))
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _NO_SUCH_THING:
                raise
    return found


def _device(device: Any) -> NodeDevice | None:
    try:
        text = device.XMLDesc(0)
    except libvirt.libvirtError as error:
        if error.get_error_code() in _NO_SUCH_THING:
            return None
        raise
    return described_device(device.name(), text)


def described_device(name: str, text: str) -> NodeDevice:
    """Return a node device with what its XML says: asking would be two calls more, and there may be hundreds.

    :raises HostReadError: it names no capability, though every device has one
    """
    parent, capabilities = _PARENT.search(text), _CAPABILITIES.findall(text)
    if not capabilities:
        raise malformed_xml(f"device {name}", "it has no capability")
    return NodeDevice(name, parent and parent[1], tuple(capabilities), text)


def _device_flag(capability: str) -> int:
    name = {"pci": "PCI_DEV", "usb_device": "USB_DEV"}.get(capability, capability.upper())
    return int(getattr(libvirt, f"VIR_CONNECT_LIST_NODE_DEVICES_CAP_{name}"))
