"""Configurations that nova-compute refuses are refused here, each with the option and what it expects."""

import re

import pytest

from drivers.errors import DriverOptionError
from drivers.libvirt.checks import (
    check_cpu_mode,
    check_cpu_models,
    check_multipath,
    check_network_nodes,
    check_on_host,
    check_settings,
    check_versions,
    read_reserved_pages,
)
from drivers.libvirt.cpu_sets import CpuSettings
from drivers.libvirt.cpu_traits import CpuMode
from drivers.libvirt.memory import MemorySettings, check_memory_settings, memory_total, parse_available_mib
from drivers.libvirt.power import check_power_management
from drivers.libvirt.records import Versions, version_number
from drivers.libvirt.settings import read_settings
from drivers.root import HostRoot
from tests.drivers.configured import make_conf
from tests.drivers.libvirt.host_xml import capabilities_xml
from tests.drivers.libvirt.made_up import X86_GUESTS, MadeUpLibvirt, hypervisor_of

pytest.importorskip("libvirt", reason="needs the libvirt extra")


@pytest.fixture
def settings_of(tmp_path):
    def read(text=""):
        return read_settings(make_conf(tmp_path, text, "libvirt"))

    return read


@pytest.mark.parametrize("text", ["", "my_ip = 192.0.2.1\n", "my_ip = 2001:db8::1\n"])
def test_what_is_fine(settings_of, text):
    check_settings(settings_of(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[libvirt]\ncpu_mode = custom\n", "cpu_mode = custom needs .*cpu_models"),
        ("[libvirt]\ncpu_models = Nehalem\n", "cpu_models = Nehalem goes with cpu_mode = custom only"),
        ("[libvirt]\ncpu_mode = host-model\ncpu_models = Nehalem,EPYC\n", "cpu_models = Nehalem,EPYC"),
        ("[libvirt]\nvirt_type = lxc\ncpu_mode = host-model\n", "cpu_mode = host-model cannot go with"),
        ("[libvirt]\nlive_migration_tunnelled = 1\nlive_migration_with_native_tls = 1\n", "are both true"),
        ("force_raw_images = false\n[libvirt]\nimages_type = rbd\n", "force_raw_images = false"),
        ("[libvirt]\nvolume_enforce_multipath = true\n", "needs volume_use_multipath = true"),
        ("[libvirt]\nfile_backed_memory = 4096\n", "needs .*ram_allocation_ratio = 1.0, not None"),
        ("reserved_huge_pages = node:0,size:2048\n", "reserved_huge_pages = node:0,size:2048 is not"),
        ("[compute]\ncpu_shared_set = 0-1\ncpu_dedicated_set = 1\n", "both name CPU 1"),
        ("my_ip = compute-1\n", "my_ip = 'compute-1' is no IP address"),
        ("my_ip =\n", "my_ip = '' is no IP address"),
        ("my_ip = fe80::1%eth0\n", "my_ip = 'fe80::1%eth0' is no IP address"),
    ],
)
def test_contradictions(settings_of, text, said):
    with pytest.raises(DriverOptionError, match=said):
        check_settings(settings_of(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[libvirt]\ncpu_mode = maximum\n",
            "Value for option cpu_mode from .*reporter.conf is not valid: .*host-model",
        ),
        ("[libvirt]\nvirt_type = xen\n", "Value for option virt_type"),
        ("[libvirt]\nimages_type = zfs\n", "Value for option images_type"),
        ("[libvirt]\nlive_migration_permit_auto_converge = perhaps\n", "live_migration_permit_auto_converge"),
        ("[libvirt]\nsysinfo_serial = random\n", "sysinfo_serial"),
        ("[neutron]\nphysnets = a\n[neutron_physnet_a]\nnuma_nodes = x\n", "numa_nodes"),
        ("[neutron_tunnel]\nnuma_nodes = $nothing\n", r"\[neutron_tunnel\] numa_nodes"),
        ("reserved_huge_pages = many\n", "reserved_huge_pages"),
        ("[compute]\ncpu_dedicated_set = 0-\n", r"^\[compute\] cpu_dedicated_set = '0-'"),
    ],
)
def test_values_that_an_option_does_not_take(settings_of, text, said):
    with pytest.raises(DriverOptionError, match=said) as error:
        settings_of(text)
    assert "LocationInfo" not in error.value.what


USED_BY = {
    "[DEFAULT] force_raw_images": "[libvirt]\nimages_type = lvm\n",
    "[image_cache] subdirectory_name": "[workarounds]\nreserve_disk_resource_for_image_cache = true\n",
    "[libvirt] cpu_power_management_strategy": "cpu_power_management = true\n",
    "[libvirt] images_rbd_ceph_conf": "images_type = rbd\n",
    "[libvirt] images_rbd_pool": "images_type = rbd\n",
    "[libvirt] images_volume_group": "images_type = lvm\n",
    "[libvirt] rbd_connect_timeout": "images_type = rbd\n",
    "[libvirt] rbd_user": "images_type = rbd\n",
    "[libvirt] supported_tpm_secret_security": "swtpm_enabled = true\n",
    "[libvirt] swtpm_group": "swtpm_enabled = true\n",
    "[libvirt] swtpm_user": "swtpm_enabled = true\n",
    "[libvirt] volume_use_multipath": "volume_enforce_multipath = true\n",
    "[workarounds] skip_cpu_compare_at_startup": "[libvirt]\ncpu_mode = custom\ncpu_models = Nehalem\n",
}


@pytest.mark.parametrize(("option", "user"), USED_BY.items())
def test_values_matter_where_they_are_used(settings_of, option, user):
    group, name = option.split()
    text = f"{group}\n{name} = $nosuch\n"
    settings_of(text)
    with pytest.raises(DriverOptionError, match=f"{re.escape(option)}: a . in its value names no option"):
        settings_of(text + user)


def test_live_migration_converges_only_where_post_copy_is_off(settings_of):
    text = "[libvirt]\nlive_migration_permit_auto_converge = soon\n"
    settings_of(text + "live_migration_permit_post_copy = true\n")
    with pytest.raises(DriverOptionError, match="live_migration_permit_auto_converge"):
        settings_of(text)


@pytest.mark.parametrize("name", ["disk_cachemodes", "enabled_perf_events"])
def test_lists_that_nova_reads_at_start(tmp_path, name):
    """What they name is not looked at: Nova warns of what it does not know."""
    conf = make_conf(tmp_path, f"[libvirt]\n{name} = nothing=known\n", "libvirt")
    assert conf.libvirt[name] == ["nothing=known"]
    with pytest.raises(DriverOptionError, match=f"{re.escape('[libvirt]')} {name}: a . in its value"):
        read_settings(make_conf(tmp_path, f"[libvirt]\n{name} = $nosuch\n", "libvirt"))


def test_an_empty_time_limit_of_ceph(settings_of):
    with pytest.raises(DriverOptionError, match="rbd_connect_timeout is empty"):
        settings_of("[libvirt]\nrbd_connect_timeout =\nimages_type = rbd\n")


def test_names_of_options_that_have_been_renamed(settings_of):
    found = settings_of(
        "image_cache_subdirectory_name = cache\n[libvirt]\ncpu_mode = custom\ncpu_model = EPYC\n"
        "[workarounds]\nreserve_disk_resource_for_image_cache = true\n"
    )
    assert found.cpu_mode.models == ("EPYC",)
    assert found.disk.cache_subdirectory == "cache"


# -- memory


def memory(backed=1024, virt_type="qemu", ratio=1.0, reserved=0):
    return MemorySettings(backed, virt_type, ratio, reserved)


def test_file_backed_memory_replaces_the_hosts():
    check_memory_settings(memory())
    total = memory_total(1024, 8192)
    assert (total.value, total.kind) == (1024, "configuration")
    assert [lost.value for lost in total.lost] == [8192]
    assert memory_total(0, 8192).value == 8192


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (memory(virt_type="lxc"), "virt_type = lxc"),
        (memory(ratio=None), "ram_allocation_ratio = 1.0, not None"),
        (memory(ratio=1.5), "ram_allocation_ratio = 1.0, not 1.5"),
        (memory(reserved=512), "reserved_host_memory_mb = 512"),
    ],
)
def test_file_backed_memory_that_cannot_be(settings, said):
    with pytest.raises(DriverOptionError, match=said):
        check_memory_settings(settings)


def test_without_file_backed_memory_nothing_of_that_matters():
    check_memory_settings(memory(backed=0, virt_type="lxc", ratio=16.0, reserved=512))


def test_memory_that_is_available():
    text = "MemTotal: 9000 kB\nMemFree: 4096 kB\nBuffers: 1024 kB\nCached: 3072 kB\nSwapCached: 99999 kB\n"
    assert parse_available_mib(text) == 8


@pytest.mark.parametrize(
    "text", ["", "MemFree: 1 kB\nCached: 1 kB\n", "MemFree: x kB\nBuffers: 1 kB\nCached: 1 kB\n"]
)
def test_a_meminfo_that_does_not_say(text):
    with pytest.raises(Exception, match="/proc/meminfo is not as expected"):
        parse_available_mib(text)


# -- this host


def versions(libvirt=(9, 0, 0), qemu=(7, 2, 0)):
    return Versions(version_number(libvirt), version_number(qemu), "QEMU")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (versions(libvirt=(7, 9, 9)), "libvirt is version 7.9.9; Nova needs 8.0.0"),
        (versions(qemu=(6, 1, 0)), "QEMU is version 6.1.0; Nova needs 6.2.0"),
    ],
)
def test_versions_that_are_too_old(settings_of, found, said):
    with pytest.raises(DriverOptionError, match=said):
        check_versions(found, "kvm", settings_of().start)


def test_parallel_migration_with_post_copy_needs_a_newer_qemu(settings_of):
    start = settings_of(
        "[libvirt]\nlive_migration_parallel_connections = 2\nlive_migration_permit_post_copy = true\n"
    ).start
    with pytest.raises(DriverOptionError, match=r"Nova needs 10\.1\.0 or later for .*parallel"):
        check_versions(versions(), "kvm", start)
    check_versions(versions(qemu=(10, 1, 0)), "kvm", start)
    check_versions(versions(), "lxc", start)


def test_virtuozzo_has_a_version_of_its_own(settings_of):
    with pytest.raises(DriverOptionError, match=r"Virtuozzo is version 6\.2\.0"):
        check_versions(versions(qemu=(6, 2, 0)), "parallels", settings_of().start)


def test_an_old_hypervisor_that_is_not_qemu_is_not_measured_by_qemus_versions(settings_of):
    check_on_host(settings_of(), hypervisor_of(MadeUpLibvirt(kind="TEST", hypervisor=(0, 0, 2))))


def model_settings(settings_of, virt_type, more=""):
    text = f"[libvirt]\nvirt_type = {virt_type}\ncpu_mode = custom\ncpu_models = EPYC\n{more}"
    return settings_of(text)


def test_a_model_that_the_hosts_cpu_cannot_be_is_refused_for_kvm_alone(settings_of):
    def host():
        return hypervisor_of(MadeUpLibvirt(models={"EPYC": ["svm"], "Nehalem": []}), "kvm")

    with_flag = "cpu_model_extra_flags = +avx512f\n"
    with pytest.raises(DriverOptionError, match="cpu_models names EPYC"):
        check_cpu_models(model_settings(settings_of, "kvm", with_flag), host())
    check_cpu_models(model_settings(settings_of, "kvm", "cpu_model_extra_flags = -avx512f\n"), host())
    check_cpu_models(model_settings(settings_of, "qemu", with_flag), host())
    skip = with_flag + "[workarounds]\nskip_cpu_compare_at_startup = true\n"
    check_cpu_models(model_settings(settings_of, "kvm", skip), host())


def test_unknown_models_are_refused_for_all(settings_of):
    host = hypervisor_of(MadeUpLibvirt(models={"Nehalem": []}))
    with pytest.raises(DriverOptionError, match="cpu_models names 'EPYC', which libvirt does not know"):
        check_cpu_models(model_settings(settings_of, "qemu"), host)


def test_the_mode_of_containers():
    check_cpu_mode(CpuMode("lxc", "none", (), ()))
    check_cpu_mode(CpuMode("lxc", None, (), ()))


def test_multipath_without_its_daemon(settings_of, tmp_path, monkeypatch):
    start = settings_of("[libvirt]\nvolume_enforce_multipath = true\nvolume_use_multipath = true\n").start
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverOptionError, match="multipathd does not run"):
        check_multipath(start)
    program = tmp_path / "multipathd"
    program.write_text("#!/bin/sh\necho error receiving packet\n")
    program.chmod(0o755)
    with pytest.raises(DriverOptionError, match="multipathd does not run"):
        check_multipath(start)
    program.write_text("#!/bin/sh\necho path checker states:\n")
    check_multipath(start)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[neutron]\nphysnets = a\n", r"\[neutron_physnet_a\] numa_nodes is unset"),
        ("[neutron]\nphysnets = a\n[neutron_physnet_a]\nnuma_nodes = 0,2\n", "names NUMA node 2"),
        ("[neutron_tunnel]\nnuma_nodes = 1\n", r"\[neutron_tunnel\] numa_nodes names NUMA node 1"),
    ],
)
def test_networks_on_numa_nodes_that_the_host_does_not_have(settings_of, text, said):
    with pytest.raises(DriverOptionError, match=said):
        check_network_nodes(settings_of(text).start, [0])
    with pytest.raises(DriverOptionError, match=said):
        check_on_host(settings_of(text), hypervisor_of(MadeUpLibvirt()))


def test_networks_matter_only_where_guests_are_placed_on_numa_nodes(settings_of):
    text = "[neutron_tunnel]\nnuma_nodes = 7\n"
    s390x = capabilities_xml("s390x", model=None, guests=X86_GUESTS)
    check_on_host(settings_of(text), hypervisor_of(MadeUpLibvirt(s390x)))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], {}),
        ([{"node": "0", "size": "2048", "count": "64"}], {0: {2048: 64}}),
        (
            [{"node": "1", "size": "1GB", "count": "1"}, {"node": "1", "size": "2MiB", "count": "3"}],
            {1: {1048576: 1, 2048: 3}},
        ),
        ([{"node": "0", "size": "16Mb", "count": "2"}], {0: {2048: 2}}),
        ([{"node": "0", "size": "4096B", "count": "2"}], {0: {4: 2}}),
    ],
)
def test_reserved_huge_pages(entries, expected):
    assert read_reserved_pages(entries) == expected


@pytest.mark.parametrize(
    "entry",
    [
        {"size": "2048", "count": "64"},
        {"node": "x", "size": "2048", "count": "64"},
        {"node": "0", "size": "2XB", "count": "64"},
        {"node": "0", "size": "2.5", "count": "64"},
        {"node": "0", "size": "2048", "count": "all"},
    ],
)
def test_huge_pages_that_cannot_be_read(entry):
    with pytest.raises(DriverOptionError, match="reserved_huge_pages = "):
        read_reserved_pages([entry])


# -- power management


def cpu_files(root, cpu, online="1", governor="performance"):
    directory = root / f"sys/devices/system/cpu/cpu{cpu}"
    (directory / "cpufreq").mkdir(parents=True)
    if online is not None:
        (directory / "online").write_text(online + "\n")
    if governor is not None:
        (directory / "cpufreq/scaling_governor").write_text(governor + "\n")


def dedicated(*cpus):
    return CpuSettings(None, None, frozenset(cpus), 0, power_management=True)


def test_dedicated_cpus_that_can_be_switched(tmp_path):
    cpu_files(tmp_path, 0, online=None)
    cpu_files(tmp_path, 1)
    cpu_files(tmp_path, 2, online="0", governor="powersave")
    check_power_management(dedicated(0, 1, 2), "cpu_state", HostRoot(tmp_path))
    check_power_management(dedicated(0, 1), "governor", HostRoot(tmp_path))
    check_power_management(dedicated(0, 1, 2, 9), None, HostRoot(tmp_path))


@pytest.mark.parametrize(
    ("strategy", "other", "said"),
    [
        ("cpu_state", {"governor": "powersave"}, "different governors: performance, powersave"),
        ("governor", {"online": "0"}, "CPU 2 of .* is offline"),
        ("governor", {"governor": None}, "CPU 2 of .* has no governor"),
        ("sleep", {}, "cpu_power_management_strategy = sleep is not valid"),
    ],
)
def test_dedicated_cpus_that_cannot(tmp_path, strategy, other, said):
    cpu_files(tmp_path, 1)
    cpu_files(tmp_path, 2, **other)
    with pytest.raises(DriverOptionError, match=said):
        check_power_management(dedicated(1, 2), strategy, HostRoot(tmp_path))
