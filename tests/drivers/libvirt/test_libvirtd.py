"""The driver on a real libvirtd with QEMU: tree, guests, events, and a libvirtd that goes away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("libvirt", reason="needs the libvirt extra")

import libvirt

from drivers import load_driver_class
from drivers.errors import DriverOptionError
from drivers.events import InventoryEvent, LifecycleEvent, Transition
from drivers.libvirt.connection import Connection
from drivers.libvirt.errors import LibvirtCallFailed, LibvirtError, LibvirtStuck, LibvirtUnreachable
from drivers.libvirt.events import DeviceChanged
from provider_tree.tree import ProviderTree
from tests.drivers.configured import make_conf
from tests.drivers.libvirt.daemon import OwnLibvirtd, why_no_libvirtd

pytestmark = [pytest.mark.libvirtd, pytest.mark.slow]

ROOT_UUID = "00000000-0000-4000-8000-000000000001"
GUEST_UUID = "aaaaaaaa-0000-4000-8000-000000000001"
GUEST = f"""<domain type='qemu'><name>reported</name><uuid>{GUEST_UUID}</uuid>
<memory unit='MiB'>32</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><memballoon model='none'/></devices></domain>"""


@pytest.fixture
def driver_of(tmp_path):
    """Make a driver for a URI, with its event listener collecting in ``heard``."""
    made = []

    def make(uri, text="", heard=None, **reporter):
        (tmp_path / "instances").mkdir(exist_ok=True)
        limits = "".join(f"{name} = {value}\n" for name, value in reporter.items())
        conf = make_conf(
            tmp_path,
            f"[libvirt]\nvirt_type = qemu\nconnection_uri = {uri}\n{text}[reporter]\n{limits}",
            "libvirt",
        )
        driver = load_driver_class("libvirt")(conf)
        made.append(driver)
        if heard is not None:
            driver.register_event_listener(heard.append)
        driver.init_host("host")
        return driver

    yield make
    for driver in made:
        driver.cleanup_host("host")


def tree_of(driver):
    (node,) = driver.get_available_nodes(refresh=True)
    tree = ProviderTree()
    tree.new_root(node, ROOT_UUID)
    driver.update_provider_tree(tree, node)
    return tree.data(node)


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_the_tree_of_this_host(system_uri, driver_of):
    root = tree_of(driver_of(system_uri))
    assert root.inventory["VCPU"]["total"] == os.cpu_count()
    assert root.inventory["MEMORY_MB"]["reserved"] == 512
    assert {
        "COMPUTE_NODE",
        "OWNER_NOVA",
        "COMPUTE_STORAGE_BUS_VIRTIO",
        "COMPUTE_NET_VIRTIO_PACKED",
    } <= root.traits
    assert any(trait.startswith("HW_ARCH_") for trait in root.traits)


def test_traits_that_no_longer_hold_go_and_those_of_others_stay(system_uri, driver_of):
    driver = driver_of(system_uri)
    (node,) = driver.get_available_nodes()
    tree = ProviderTree()
    tree.new_root(node, ROOT_UUID)
    stale = {"COMPUTE_STORAGE_BUS_LXC", "HW_CPU_X86_3DNOW", "COMPUTE_ARCH_MIPSEL", "COMPUTE_SECURITY_TPM_2_0"}
    others = {"CUSTOM_RACK_7", "HW_CPU_X86_SGX", "COMPUTE_STATUS_DISABLED"}
    tree.update_traits(node, stale | others)
    tree.update_inventory(node, {"CUSTOM_LICENSE": {"total": 3}, "PCPU": {"total": 2}})
    driver.update_provider_tree(tree, node)
    root = tree.data(node)
    assert not root.traits & stale
    assert root.traits >= others
    assert "PCPU" not in root.inventory
    assert root.inventory["CUSTOM_LICENSE"] == {"total": 3}


def test_every_value_tells_where_it_comes_from(system_uri, driver_of):
    driver = driver_of(system_uri)
    (node,) = driver.get_available_nodes()
    tree = ProviderTree()
    tree.new_root(node, ROOT_UUID)
    driver.update_provider_tree(tree, node)
    notes, root = tree.notes(node), tree.data(node)
    assert notes["VCPU.total"].detail == "online CPUs (libvirt)"
    assert notes["MEMORY_MB.total"].value == root.inventory["MEMORY_MB"]["total"]
    assert {f"traits.{trait}" for trait in root.traits} <= notes.keys()
    vocabulary = driver.vocabulary
    assert all(vocabulary.has_trait(trait) for trait in root.traits)
    assert all(vocabulary.has_class(name) for name in root.inventory)


def test_a_warm_cycle_is_cheap_and_asks_no_static_facts(system_uri, driver_of, monkeypatch):
    driver = driver_of(system_uri)
    tree_of(driver)
    asked = []
    for name in ("capabilities", "domain_capabilities", "baseline_cpu", "cpu_models"):
        monkeypatch.setattr(driver.connection, name, lambda *_, name=name: asked.append(name))
    costs = []
    for _ in range(9):
        before = time.process_time()
        tree_of(driver)
        costs.append(time.process_time() - before)
    assert not asked
    assert sorted(costs)[4] < 0.010


def test_the_first_tree_comes_soon_and_takes_little_memory(system_uri, tmp_path):
    script = """
import sys, time
from pathlib import Path
from tests.drivers.configured import make_conf
from drivers import load_driver_class
from provider_tree.tree import ProviderTree
conf = make_conf(Path(sys.argv[1]), "[libvirt]\\nvirt_type = qemu\\n", "libvirt")
driver = load_driver_class("libvirt")(conf)
driver.init_host("host")
(node,) = driver.get_available_nodes(refresh=True)
tree = ProviderTree()
tree.new_root(node, "00000000-0000-4000-8000-000000000001")
driver.update_provider_tree(tree, node)
status = Path("/proc/self/status").read_text()  # ru_maxrss would count what the parent had when it forked
print(time.process_time(), int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""
    (tmp_path / "instances").mkdir()
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    seconds, mebibytes = map(float, done.stdout.split())
    assert seconds < 1.0
    assert mebibytes < 77


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cpu_mode = custom\ncpu_models = Cray\n", "cpu_models names 'Cray'"),
        ("[compute]\ncpu_dedicated_set = 4095\n", "cpu_dedicated_set names CPU 4095"),
        ("swtpm_enabled = true\nswtpm_user = nosuchuser\n", "nosuchuser|no emulated TPM"),
    ],
)
def test_what_this_host_cannot_do_is_refused(system_uri, driver_of, text, said):
    with pytest.raises(DriverOptionError, match=said):
        tree_of(driver_of(system_uri, text))


def test_the_resources_under_novas_keys(system_uri, driver_of):
    driver = driver_of(system_uri)
    (node,) = driver.get_available_nodes()
    found = driver.get_available_resource(node)
    assert found["hypervisor_type"] == "QEMU"
    assert found["hypervisor_hostname"] == node
    assert found["vcpus"] == tree_of(driver).inventory["VCPU"]["total"]
    assert found["local_gb"] > found["local_gb_used"] > 0
    assert json.loads(found["cpu_info"])["features"]
    assert json.loads(found["numa_topology"])["cells"]
    assert isinstance(json.loads(found["pci_passthrough_devices"]), list)
    assert "load average" in found["stats"]["uptime"]
    stats = driver.get_host_cpu_stats()
    assert stats.keys() >= {"kernel", "user", "idle", "iowait", "frequency"}


# -- guests


def test_guests_are_listed_running_or_not(own_libvirtd, driver_of):
    driver = driver_of(own_libvirtd.uri)
    assert driver.get_num_instances() == 0
    connection = libvirt.open(own_libvirtd.uri)
    guest = connection.defineXML(GUEST)
    (node,) = driver.get_available_nodes()
    assert driver.list_instances() == ["reported"]
    assert driver.get_available_resource(node)["vcpus_used"] == 0
    guest.create()
    try:
        assert driver.list_instance_uuids() == [GUEST_UUID]
        assert driver.get_available_resource(node)["vcpus_used"] >= 1

        class Known:
            uuid, name = GUEST_UUID, "reported"

        class Unknown:
            uuid, name = ROOT_UUID, "reported"

        assert driver.instance_exists(Known())
        assert not driver.instance_exists(Unknown())
    finally:
        guest.destroy()
        connection.close()


def test_what_guests_do_is_told_and_asks_for_no_cycle(own_libvirtd, driver_of):
    heard = []
    driver_of(own_libvirtd.uri, heard=heard)
    connection = libvirt.open(own_libvirtd.uri)
    guest = connection.createXML(GUEST, 0)
    guest.suspend()
    guest.destroy()
    connection.close()
    told = {Transition.STARTED, Transition.RESUMED, Transition.PAUSED, Transition.STOPPED}
    wait_for(lambda: {event.get_transition() for event in heard} == told, 10)
    assert {event.get_instance_uuid() for event in heard} == {GUEST_UUID}
    assert all(isinstance(event, LifecycleEvent) for event in heard)


def test_a_listener_that_came_first_may_be_replaced_without_reading_all_anew(own_libvirtd, driver_of):
    heard, late = [], []
    driver = driver_of(own_libvirtd.uri, heard=heard)
    driver.register_event_listener(late.append)
    tree_of(driver)
    assert driver.connection.epoch == 1, "another connection: all is read again"
    other = libvirt.open(own_libvirtd.uri)
    other.createXML(GUEST, 0).destroy()
    wait_for(lambda: {event.get_instance_uuid() for event in late} == {GUEST_UUID}, 10)
    assert not heard
    other.close()


# -- a libvirtd that goes away


def test_without_a_libvirtd_it_says_where_and_how_to_start_it(driver_of, tmp_path):
    uri = f"qemu+unix:///session?socket={tmp_path}/none"
    before = time.monotonic()
    with pytest.raises(LibvirtUnreachable) as error:
        driver_of(uri)
    assert uri in error.value.what
    assert "start" in error.value.advice
    assert time.monotonic() - before < 2


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        (
            "qemu+tcp://localhost:1/system",
            "runs there and lets us in: virsh -c 'qemu+tcp://localhost:1/system' version",
        ),
        ("qemu+ssh://nobody@host.invalid/system", "runs there and lets us in"),
        ("qemuu:///system", "see that [libvirt] connection_uri and virt_type are right"),
        ("qemu://[::1/system", "see that"),
        ("qemu:///sytem", "see that [libvirt] connection_uri and virt_type are right"),
        ("qemu+tls:///system", "runs there and lets us in"),
    ],
)
def test_what_to_do_fits_the_uri(driver_of, uri, hint):
    """What is to be started here is no use where the daemon is elsewhere, or the URI is wrong."""
    with pytest.raises(LibvirtUnreachable) as error:
        driver_of(uri)
    assert hint in error.value.advice
    assert "systemctl" not in error.value.advice


def test_a_qemu_that_is_away_for_a_moment_fails_the_cycle_and_takes_nothing_away(driver_of, libvirtd_cache):
    """As while its package is replaced: libvirt cannot tell its version then, and knows of no guests."""
    if reason := why_no_libvirtd():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="lv") as directory:
        emulator = Path(directory) / "bin" / "qemu-system-x86_64"
        emulator.parent.mkdir()
        emulator.symlink_to(shutil.which("qemu-system-x86_64"))
        daemon = OwnLibvirtd(Path(directory), libvirtd_cache, emulator.parent)
        try:
            daemon.start()
            driver = driver_of(daemon.uri)
            before = tree_of(driver)
            emulator.rename(emulator.with_name("away"))
            with pytest.raises(LibvirtCallFailed, match="qemu-system-x86_64"):
                tree_of(driver)
            emulator.with_name("away").rename(emulator)
            assert tree_of(driver) == before
        finally:
            daemon.stop()


def test_a_restart_between_two_cycles_costs_nothing_but_a_new_look(own_libvirtd, driver_of):
    driver = driver_of(own_libvirtd.uri)
    before = tree_of(driver)
    epoch = driver.connection.epoch
    own_libvirtd.stop()
    own_libvirtd.start()
    after = tree_of(driver)
    assert after.traits == before.traits
    assert after.inventory.keys() == before.inventory.keys()
    assert driver.connection.epoch == epoch + 1


def test_the_end_of_libvirtd_is_heard_within_a_second_and_its_return_is_waited_for(own_libvirtd, driver_of):
    heard = []
    driver = driver_of(own_libvirtd.uri, heard=heard)
    tree_of(driver)
    own_libvirtd.stop()
    wait_for(lambda: any(isinstance(event, InventoryEvent) for event in heard), 1)
    back = threading.Timer(1.0, own_libvirtd.start)
    back.start()
    try:
        assert tree_of(driver).inventory
    finally:
        back.join()


class StopsAfterItsVersion:
    """A real connection; libvirtd is stopped as soon as it has told its version."""

    def __init__(self, real, stop):
        self._real = real
        self._stop = stop

    def getLibVersion(self):  # noqa: N802 - libvirt's name
        version = self._real.getLibVersion()
        self._stop()
        return version

    def __getattr__(self, name):
        return getattr(self._real, name)


def test_a_connection_that_breaks_does_not_pass_for_a_hypervisor_without_a_version(own_libvirtd):
    class Broken(Connection):
        def _open(self):
            return StopsAfterItsVersion(super()._open(), own_libvirtd.stop)

    connection = Broken(own_libvirtd.uri)
    with pytest.raises(LibvirtUnreachable):
        connection.versions()
    connection.close()


def test_a_libvirtd_that_stays_away_fails_the_cycle_but_not_the_next(own_libvirtd, driver_of):
    driver = driver_of(own_libvirtd.uri)
    tree_of(driver)
    own_libvirtd.stop()
    with pytest.raises(LibvirtUnreachable):
        tree_of(driver)
    before = time.monotonic()
    with pytest.raises(LibvirtUnreachable):
        tree_of(driver)
    assert time.monotonic() - before < 1  # it was waited for once
    own_libvirtd.start()
    assert tree_of(driver).inventory


def test_a_libvirtd_that_stayed_away_asks_for_a_cycle_when_it_is_back(own_libvirtd, driver_of):
    heard = []
    driver = driver_of(own_libvirtd.uri, heard=heard)
    tree_of(driver)
    own_libvirtd.stop()
    for _ in range(2):
        with pytest.raises(LibvirtUnreachable):
            tree_of(driver)
    heard.clear()
    own_libvirtd.start()
    wait_for(lambda: "libvirt answers again" in [event.reason for event in heard], 12)
    assert tree_of(driver).inventory


def test_a_libvirtd_that_hangs_does_not_hang_us(own_libvirtd, driver_of):
    driver = driver_of(own_libvirtd.uri, libvirt_time_limit=0.5)
    tree_of(driver)
    threads = threading.active_count()
    own_libvirtd.freeze()
    for _ in range(8):
        before = time.monotonic()
        with pytest.raises(LibvirtStuck):
            tree_of(driver)
        assert time.monotonic() - before < 3
    assert threading.active_count() <= threads + 3
    own_libvirtd.thaw()
    wait_for(lambda: threading.active_count() <= threads, 20)
    assert tree_of(driver).inventory


def test_a_libvirtd_that_hung_asks_for_a_cycle_when_it_answers_again(own_libvirtd, driver_of):
    heard = []
    driver = driver_of(own_libvirtd.uri, heard=heard, libvirt_time_limit=0.5)
    tree_of(driver)
    own_libvirtd.freeze()
    with pytest.raises(LibvirtStuck):
        tree_of(driver)
    heard.clear()
    own_libvirtd.thaw()
    wait_for(lambda: "libvirt answers again" in [event.reason for event in heard], 5)
    assert tree_of(driver).inventory


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_connections_that_are_given_up_leave_nothing_open(own_libvirtd, driver_of):
    heard = []
    driver = driver_of(own_libvirtd.uri, heard=heard, libvirt_time_limit=0.5)
    tree_of(driver)

    def opened():
        return len(list(Path("/proc/self/fd").iterdir()))

    def answered():
        try:
            return tree_of(driver).inventory
        except LibvirtError:  # a libvirtd that has just started may be slower than the time limit
            return None

    before = opened()
    for _ in range(3):
        own_libvirtd.freeze()
        with pytest.raises(LibvirtStuck):
            tree_of(driver)
        own_libvirtd.thaw()
        own_libvirtd.stop()
        own_libvirtd.start()
        wait_for(answered, 20)
    wait_for(lambda: opened() <= before, 5)
    driver.cleanup_host("host")
    wait_for(lambda: opened() < before, 5)


def test_a_program_that_ends_while_libvirtd_hangs_ends(own_libvirtd, tmp_path):
    script = f"""
from drivers.libvirt.connection import Connection
from drivers.libvirt.errors import LibvirtStuck
import os, signal, sys
connection = Connection({own_libvirtd.uri!r}, 0.5)
connection.watch(print)
print(connection.hostname(), flush=True)
sys.stdin.readline()
try:
    connection.hostname()
except LibvirtStuck as error:
    print(error.what)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    own_libvirtd.freeze()
    output, _ = process.communicate("\n", timeout=20)
    assert "did not answer within 0.5 s" in output
    assert process.returncode == 0


def test_the_service_goes_on_when_libvirtd_is_restarted_and_when_it_stays_away(own_libvirtd, tmp_path):
    conf = tmp_path / "nova.conf"
    (tmp_path / "instances").mkdir()
    conf.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\n[reporter]\ninterval = 3600\n"
        f"[libvirt]\nvirt_type = qemu\nconnection_uri = {own_libvirtd.uri}\n"
    )
    service = subprocess.Popen(
        [
            *[sys.executable, "-m", "reporter", "run", "-v", "--driver", "libvirt"],
            *["--config-file", str(conf), "--state-dir", str(tmp_path / "ours")],
            f"--embedded={tmp_path}/placement.db",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    said: list[str] = []
    assert service.stderr
    threading.Thread(target=lambda: said.extend(iter(service.stderr.readline, "")), daemon=True).start()
    try:
        wait_for(lambda: any(" created" in line for line in said), 30)
        own_libvirtd.stop()
        own_libvirtd.start()
        wait_for(lambda: any("trying again" in line for line in said), 5)
        assert not any("ERROR" in line for line in said)
        own_libvirtd.stop()
        wait_for(lambda: any("cannot connect to libvirt" in line for line in said), 15)
        own_libvirtd.start()
        wait_for(lambda: any("works again" in line for line in said), 15)
        assert service.poll() is None
    finally:
        service.terminate()
        assert service.wait(20) == 0, said


# -- libvirt's own test driver: no daemon, no QEMU


def test_a_node_device_that_comes_and_goes_is_heard():
    heard = []
    connection = Connection("test:///default")
    connection.watch(heard.append)
    connection.versions()
    other = libvirt.open("test:///default")
    device = other.nodeDeviceCreateXML(
        "<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>"
        "<wwnn>2100001b32a9da5e</wwnn><wwpn>2101001b32a9da5e</wwpn></capability></capability></device>"
    )
    name = device.name()
    wait_for(lambda: DeviceChanged(name, "created") in heard, 3)
    device.destroy()
    wait_for(lambda: DeviceChanged(name, "deleted") in heard, 3)
    other.close()
    connection.close()


def test_a_hypervisor_that_tells_less_is_reported_as_far_as_it_goes(driver_of, caplog):
    driver = driver_of("test:///default")
    root = tree_of(driver)
    assert set(root.inventory) == {"VCPU", "MEMORY_MB", "DISK_GB"}
    assert root.inventory["MEMORY_MB"]["total"] == 3072
    assert "HW_ARCH_I686" in root.traits
    assert not {trait for trait in root.traits if trait.startswith("COMPUTE_STORAGE_BUS")}
    driver.register_event_listener(lambda _event: None)  # opens another connection: all is read again
    assert tree_of(driver).traits == root.traits
    said = [record.getMessage() for record in caplog.records]
    assert sum("does not tell domain capabilities; left out" in text for text in said) == 1
    assert driver.list_instances() == ["test"]
