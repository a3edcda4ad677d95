"""The options as values, read once; what oslo.config refuses is refused here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from drivers.errors import DriverOptionError
from drivers.libvirt.abilities import AbilitySettings
from drivers.libvirt.cpu_sets import DEDICATED_SET, PIN_SET, SHARED_SET, CpuSettings, read_cpu_set
from drivers.libvirt.cpu_traits import CpuMode
from drivers.libvirt.disk import DiskSettings
from drivers.libvirt.firmware import TpmSettings
from drivers.libvirt.memory import MemorySettings
from drivers.libvirt.options import NUMA_NODES, PHYSNET_GROUP, TUNNEL_GROUP

# oslo.config names a file as LocationInfo(location=<Locations.user: (4, True)>, detail='/etc/nova.conf').
_LOCATION = re.compile(r"LocationInfo\(.*?detail='(.*?)'\)")


@dataclass(frozen=True, slots=True)
class StartSettings:
    """Options that only decide whether nova-compute starts."""

    my_ip: str
    cpu_compare: bool
    power_strategy: str | None
    tunnelled: bool
    native_tls: bool
    post_copy: bool
    parallel_connections: int
    force_raw_images: bool
    use_multipath: bool
    enforce_multipath: bool
    reserved_huge_pages: tuple[Mapping[str, str], ...]
    physnet_nodes: Mapping[str, tuple[int, ...]]
    tunnel_nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """All options of the driver, by topic."""

    virt_type: str
    machine_types: tuple[str, ...]
    cpus: CpuSettings
    cpu_mode: CpuMode
    memory: MemorySettings
    disk: DiskSettings
    tpm: TpmSettings
    abilities: AbilitySettings
    start: StartSettings


def read_settings(conf: cfg.ConfigOpts) -> Settings:
    """Return the options as values.

    :raises DriverOptionError: one has a value that it does not take; names the option and what it expects
    """
    with explained():
        return _read(conf)


@contextmanager
def explained(option: str = "") -> Iterator[None]:
    """Turn what oslo.config complains of, when an option is read, into a DriverOptionError.

    :param option: the one that is read, where that may not be clear from the complaint
    """
    try:
        yield
    except (cfg.Error, ValueError) as error:
        text = _LOCATION.sub(r"\1", str(error).replace("\n", " "))
        text = f"{option}: {text}" if option else text
        raise DriverOptionError(text, "correct the option in the configuration file") from error


def _read(conf: cfg.ConfigOpts) -> Settings:
    lv = conf.libvirt
    return Settings(
        virt_type=lv.virt_type,
        machine_types=tuple(lv.hw_machine_type or ()),
        cpus=_cpus(conf),
        cpu_mode=CpuMode(lv.virt_type, lv.cpu_mode, tuple(lv.cpu_models), tuple(lv.cpu_model_extra_flags)),
        memory=MemorySettings(
            lv.file_backed_memory, lv.virt_type, conf.ram_allocation_ratio, conf.reserved_host_memory_mb
        ),
        disk=_disk(conf),
        tpm=TpmSettings(
            lv.swtpm_enabled,
            lv.virt_type,
            lv.swtpm_user,
            lv.swtpm_group,
            tuple(lv.supported_tpm_secret_security),
        ),
        abilities=AbilitySettings(
            lv.virt_type, lv.images_type, conf.force_raw_images, lv.swtpm_enabled, lv.file_backed_memory
        ),
        start=_start(conf),
    )


def _cpus(conf: cfg.ConfigOpts) -> CpuSettings:
    return CpuSettings(
        pin_set=read_cpu_set(conf.vcpu_pin_set, PIN_SET),
        shared_set=read_cpu_set(conf.compute.cpu_shared_set, SHARED_SET),
        dedicated_set=read_cpu_set(conf.compute.cpu_dedicated_set, DEDICATED_SET),
        reserved_host_cpus=conf.reserved_host_cpus,
        power_management=conf.libvirt.cpu_power_management,
    )


def _disk(conf: cfg.ConfigOpts) -> DiskSettings:
    lv = conf.libvirt
    ceph: dict[str, Any] = {"rbd_pool": "", "rbd_user": None, "ceph_conf": "", "rbd_timeout": 0}
    if lv.images_type == "rbd":
        ceph = {
            "rbd_pool": lv.images_rbd_pool,
            "rbd_user": lv.rbd_user,
            "ceph_conf": lv.images_rbd_ceph_conf,
            "rbd_timeout": lv.rbd_connect_timeout,
        }
    return DiskSettings(
        images_type=lv.images_type,
        instances_path=conf.instances_path,
        cache_subdirectory=conf.image_cache.subdirectory_name,
        reserve_image_cache=conf.workarounds.reserve_disk_resource_for_image_cache,
        volume_group=lv.images_volume_group,
        **ceph,
    )


def _start(conf: cfg.ConfigOpts) -> StartSettings:
    lv = conf.libvirt
    _ = (  # read for the check alone
        lv.sysinfo_serial,
        lv.live_migration_permit_post_copy or lv.live_migration_permit_auto_converge,
        lv.images_address_space_limit,
        lv.images_cpu_time_limit,
        lv.remote_filesystem_transport,
        conf.image_cache.remove_unused_base_images,
    )
    enforce = lv.volume_enforce_multipath
    return StartSettings(
        my_ip=conf.my_ip,
        cpu_compare=lv.cpu_mode == "custom" and not conf.workarounds.skip_cpu_compare_at_startup,
        power_strategy=lv.cpu_power_management_strategy if lv.cpu_power_management else None,
        tunnelled=lv.live_migration_tunnelled,
        native_tls=lv.live_migration_with_native_tls,
        post_copy=lv.live_migration_permit_post_copy,
        parallel_connections=lv.live_migration_parallel_connections,
        force_raw_images=conf.force_raw_images,
        use_multipath=lv.volume_use_multipath if enforce else False,
        enforce_multipath=enforce,
        reserved_huge_pages=tuple(conf.reserved_huge_pages or ()),
        physnet_nodes={name: _numa_nodes(conf, PHYSNET_GROUP + name) for name in conf.neutron.physnets},
        tunnel_nodes=_numa_nodes(conf, TUNNEL_GROUP),
    )


def _numa_nodes(conf: cfg.ConfigOpts, group: str) -> tuple[int, ...]:
    """Return ``numa_nodes`` of a group that only the configuration names (``[neutron_physnet_NAME]``)."""
    conf.register_opt(NUMA_NODES, group=group)
    with explained(f"[{group}] numa_nodes"):
        return tuple(conf[group].numa_nodes)
