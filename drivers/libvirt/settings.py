"""The options as values, read once; what oslo.config refuses is refused here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from drivers.errors import DriverOptionError
from drivers.libvirt.abilities import RAW_ONLY, AbilitySettings
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
    except (cfg.NoSuchOptError, cfg.NoSuchGroupError, cfg.TemplateSubstitutionError) as error:
        # oslo.config names either what stands after the $, or the option that has it.
        raise DriverOptionError(
            f"{option or error}: a $ in its value names no option", "write $$ for a dollar sign"
        ) from error
    except (cfg.Error, ValueError) as error:
        text = _LOCATION.sub(r"\1", str(error).replace("\n", " "))
        text = f"{option}: {text}" if option else text
        raise DriverOptionError(text, "correct the option in the configuration file") from error


def read_used(conf: cfg.ConfigOpts, group: str, name: str) -> Any:
    """Return the value of an option that nobody has checked yet, as none of :data:`READ_WHERE_USED` is.

    :raises DriverOptionError: it is none that the option takes
    """
    with explained(f"[{group}] {name}"):
        return conf[name] if group == "DEFAULT" else conf[group][name]


def _read(conf: cfg.ConfigOpts) -> Settings:
    lv = conf.libvirt
    only_raw = lv.images_type in RAW_ONLY
    force_raw_images = read_used(conf, "DEFAULT", "force_raw_images") if only_raw else True
    return Settings(
        virt_type=lv.virt_type,
        machine_types=tuple(lv.hw_machine_type or ()),
        cpus=_cpus(conf),
        cpu_mode=CpuMode(lv.virt_type, lv.cpu_mode, tuple(lv.cpu_models), tuple(lv.cpu_model_extra_flags)),
        memory=MemorySettings(
            lv.file_backed_memory, lv.virt_type, conf.ram_allocation_ratio, conf.reserved_host_memory_mb
        ),
        disk=_disk(conf),
        tpm=_tpm(conf),
        abilities=AbilitySettings(
            lv.virt_type, lv.images_type, force_raw_images, lv.swtpm_enabled, lv.file_backed_memory
        ),
        start=_start(conf, force_raw_images),
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
            "rbd_pool": read_used(conf, "libvirt", "images_rbd_pool"),
            "rbd_user": read_used(conf, "libvirt", "rbd_user"),
            "ceph_conf": read_used(conf, "libvirt", "images_rbd_ceph_conf"),
            "rbd_timeout": read_used(conf, "libvirt", "rbd_connect_timeout"),
        }
        if ceph["rbd_timeout"] is None:
            raise DriverOptionError(
                "[libvirt] rbd_connect_timeout is empty", "give a number of seconds, or unset it"
            )
    cached = conf.workarounds.reserve_disk_resource_for_image_cache
    return DiskSettings(
        images_type=lv.images_type,
        instances_path=conf.instances_path,
        cache_subdirectory=read_used(conf, "image_cache", "subdirectory_name") if cached else "",
        reserve_image_cache=cached,
        volume_group=read_used(conf, "libvirt", "images_volume_group") if lv.images_type == "lvm" else None,
        **ceph,
    )


def _tpm(conf: cfg.ConfigOpts) -> TpmSettings:
    lv = conf.libvirt
    if not lv.swtpm_enabled:
        return TpmSettings(False, lv.virt_type, "", "", ())
    return TpmSettings(
        True,
        lv.virt_type,
        read_used(conf, "libvirt", "swtpm_user"),
        read_used(conf, "libvirt", "swtpm_group"),
        tuple(read_used(conf, "libvirt", "supported_tpm_secret_security")),
    )


def _start(conf: cfg.ConfigOpts, force_raw_images: bool) -> StartSettings:
    lv = conf.libvirt
    strategy, skip_compare = "cpu_power_management_strategy", "skip_cpu_compare_at_startup"
    _ = (  # read for the check alone
        lv.sysinfo_serial,
        lv.live_migration_permit_post_copy
        or read_used(conf, "libvirt", "live_migration_permit_auto_converge"),
        *(read_used(conf, "libvirt", name) for name in ("disk_cachemodes", "enabled_perf_events")),
        lv.images_address_space_limit,
        lv.images_cpu_time_limit,
        lv.remote_filesystem_transport,
        conf.image_cache.remove_unused_base_images,
    )
    enforce = lv.volume_enforce_multipath
    return StartSettings(
        my_ip=conf.my_ip,
        cpu_compare=lv.cpu_mode == "custom" and not read_used(conf, "workarounds", skip_compare),
        power_strategy=read_used(conf, "libvirt", strategy) if lv.cpu_power_management else None,
        tunnelled=lv.live_migration_tunnelled,
        native_tls=lv.live_migration_with_native_tls,
        post_copy=lv.live_migration_permit_post_copy,
        parallel_connections=lv.live_migration_parallel_connections,
        force_raw_images=force_raw_images,
        use_multipath=enforce and read_used(conf, "libvirt", "volume_use_multipath"),
        enforce_multipath=enforce,
        reserved_huge_pages=tuple(conf.reserved_huge_pages or ()),
        physnet_nodes={name: _numa_nodes(conf, PHYSNET_GROUP + name) for name in conf.neutron.physnets},
        tunnel_nodes=_numa_nodes(conf, TUNNEL_GROUP),
    )


def _numa_nodes(conf: cfg.ConfigOpts, group: str) -> tuple[int, ...]:
    """Return ``numa_nodes`` of a group that only the configuration names (``[neutron_physnet_NAME]``)."""
    conf.register_opt(NUMA_NODES, group=group)
    return tuple(read_used(conf, group, "numa_nodes"))
