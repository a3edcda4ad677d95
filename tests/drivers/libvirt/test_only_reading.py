"""Nothing but connection.py imports libvirt, and it makes reading calls only."""

import ast
from pathlib import Path

import drivers.libvirt

PACKAGE = Path(drivers.libvirt.__file__).parent

# What a virConnect, a virDomain or a virNodeDevice may be asked; all else might change something.
READING = {
    "ID",
    "UUIDString",
    "XMLDesc",
    "baselineCPU",
    "blockInfo",
    "close",
    "compareHypervisorCPU",
    "domainEventDeregisterAny",
    "domainEventRegisterAny",
    "getCPUMap",
    "getCPUModelNames",
    "getCPUStats",
    "getCapabilities",
    "getDomainCapabilities",
    "getHostname",
    "getInfo",
    "getLibVersion",
    "getType",
    "getVersion",
    "info",
    "isActive",
    "jobInfo",
    "listAllDevices",
    "listAllDomains",
    "listCaps",
    "lookupByUUIDString",
    "name",
    "nodeDeviceEventDeregisterAny",
    "nodeDeviceEventRegisterAny",
    "parent",
    "registerCloseCallback",
    "setKeepAlive",
    "unregisterCloseCallback",
    "vcpus",
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def methods_of_libvirt():
    """The names of all methods that libvirt's objects have."""
    import libvirt

    kinds = (libvirt.virConnect, libvirt.virDomain, libvirt.virNodeDevice)
    return {name for kind in kinds for name in vars(kind) if not name.startswith("_")}


def test_connection_is_the_only_importer_of_libvirt():
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.partition(".")[0] in {"libvirt", "libvirt_qemu"} for name in imported(path))
    }
    assert importers == {"connection.py"}


def test_only_reading_calls_are_made():
    known = methods_of_libvirt()
    for name in ("connection.py", "watching.py"):
        tree = ast.parse((PACKAGE / name).read_text())
        asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & known
        assert asked <= READING, asked - READING
