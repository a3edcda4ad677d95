"""The options of Nova 34 that decide what is reported, with Nova's names and bounds.

Some are read only to be checked, as nova-compute refuses to start with a bad value of theirs (see checks.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from oslo_config import cfg, types

_DEFAULT: Final[Sequence[cfg.Opt]] = (
    cfg.StrOpt(
        "vcpu_pin_set",
        help="The CPUs that make VCPU, in the syntax of [compute] cpu_shared_set. Superseded by that option.",
    ),
    cfg.BoolOpt(
        "use_cow_images",
        default=True,
        help="What [libvirt] images_type = default stands for: qcow2, else raw.",
    ),
    cfg.BoolOpt(
        "force_raw_images", default=True, help="Convert images to raw; LVM and RBD take nothing else."
    ),
    cfg.MultiOpt(
        "reserved_huge_pages",
        item_type=types.Dict(),
        help="Huge pages kept for the host, e.g. node:0,size:2048,count:64 (size in KiB or with a unit).",
    ),
)

_COMPUTE: Final[Sequence[cfg.Opt]] = (
    cfg.StrOpt(
        "cpu_shared_set",
        help="The CPUs that guests share: VCPU. Numbers, ranges and exclusions: 4-12,^8,15. "
        "Unset: every online CPU, or none where cpu_dedicated_set is set.",
    ),
    cfg.StrOpt(
        "cpu_dedicated_set",
        help="The CPUs that are pinned to one guest each: PCPU. Syntax of cpu_shared_set.",
    ),
)

_IMAGE_CACHE: Final[Sequence[cfg.Opt]] = (
    cfg.StrOpt(
        "subdirectory_name",
        default="_base",
        deprecated_name="image_cache_subdirectory_name",
        deprecated_group="DEFAULT",
        help="The directory below instances_path that holds cached images.",
    ),
    cfg.BoolOpt(
        "remove_unused_base_images",
        default=True,
        deprecated_group="DEFAULT",
        help="Whether Nova removes cached images that it needs no more.",
    ),
)

_WORKAROUNDS: Final[Sequence[cfg.Opt]] = (
    cfg.BoolOpt(
        "reserve_disk_resource_for_image_cache",
        default=False,
        help="Reserve, of DISK_GB, what the image cache takes on the same file system.",
    ),
    cfg.BoolOpt(
        "skip_cpu_compare_at_startup",
        default=False,
        help="Do not ask libvirt whether the host's CPU can be the models of [libvirt] cpu_models.",
    ),
)

_NEUTRON: Final[Sequence[cfg.Opt]] = (
    cfg.ListOpt(
        "physnets",
        default=[],
        help="The physical networks of this host; each needs a group [neutron_physnet_NAME] with numa_nodes.",
    ),
)

NUMA_NODES: Final[cfg.Opt] = cfg.ListOpt(
    "numa_nodes",
    default=[],
    item_type=types.Integer(),
    help="The NUMA nodes that the network is attached to.",
)
TUNNEL_GROUP: Final = "neutron_tunnel"
PHYSNET_GROUP: Final = "neutron_physnet_"

_HYPERVISOR: Final[Sequence[cfg.Opt]] = (
    cfg.StrOpt(
        "virt_type",
        default="kvm",
        choices=("kvm", "lxc", "qemu", "parallels"),
        help="The type of the guests.",
    ),
    cfg.StrOpt(
        "connection_uri",
        default="",
        help="Libvirt's URI. Unset: that of virt_type, qemu:///system for kvm and qemu.",
    ),
    cfg.ListOpt(
        "hw_machine_type",
        help="The machine type of guests that ask for none, by architecture: x86_64=q35,aarch64=virt.",
    ),
    cfg.IntOpt(
        "file_backed_memory",
        default=0,
        min=0,
        help="Report this much MEMORY_MB, in MiB, instead of the host's: guests have their memory in files. "
        "Needs ram_allocation_ratio = 1.0 and reserved_host_memory_mb = 0.",
    ),
)

_CPU: Final[Sequence[cfg.Opt]] = (
    cfg.StrOpt(
        "cpu_mode",
        choices=("host-model", "host-passthrough", "custom", "none"),
        help="The CPU that guests see. Unset: host-model, on AArch64 host-passthrough; none for containers.",
    ),
    cfg.ListOpt(
        "cpu_models",
        deprecated_name="cpu_model",
        default=[],
        help="With cpu_mode = custom: the CPU models of guests. The features of all of them are reported.",
    ),
    cfg.ListOpt(
        "cpu_model_extra_flags",
        item_type=types.String(ignore_case=True),
        default=[],
        help="CPU features that guests get on top (+name or name), or do not get (-name).",
    ),
    cfg.BoolOpt(
        "cpu_power_management", default=False, help="Nova takes idle CPUs of cpu_dedicated_set offline."
    ),
    cfg.StrOpt(
        "cpu_power_management_strategy",
        default="cpu_state",
        help="How: cpu_state takes them offline, governor slows them down. Checked only where it is used.",
    ),
)

_DISK: Final[Sequence[cfg.Opt]] = (
    cfg.StrOpt(
        "images_type",
        default="default",
        choices=("raw", "flat", "qcow2", "lvm", "rbd", "ploop", "default"),
        help="Where guests have their disks: files below instances_path, an LVM volume group, a Ceph pool.",
    ),
    cfg.StrOpt("images_volume_group", help="The volume group of images_type = lvm."),
    cfg.StrOpt("images_rbd_pool", default="rbd", help="The pool of images_type = rbd."),
    cfg.StrOpt(
        "images_rbd_ceph_conf", default="", help="Ceph's configuration file; unset: where librados looks."
    ),
    cfg.StrOpt("rbd_user", help="The user towards Ceph, without the leading client."),
    cfg.IntOpt("rbd_connect_timeout", default=5, help="Seconds to wait for Ceph."),
)

_TPM: Final[Sequence[cfg.Opt]] = (
    cfg.BoolOpt("swtpm_enabled", default=False, help="Guests may have an emulated TPM."),
    cfg.StrOpt("swtpm_user", default="tss", help="The user that swtpm runs as; must exist."),
    cfg.StrOpt("swtpm_group", default="tss", help="The group that swtpm runs as; must exist."),
    cfg.ListOpt(
        "supported_tpm_secret_security",
        default=["user", "host", "deployment"],
        help="Who may hold the secret of an emulated TPM on this host: user, host, deployment.",
    ),
)

_ONLY_CHECKED: Final[Sequence[cfg.Opt]] = (
    cfg.ListOpt("disk_cachemodes", default=[], help="How disks are cached, by type of disk."),
    cfg.ListOpt("enabled_perf_events", default=[], help="Events that guests count."),
    cfg.BoolOpt("live_migration_tunnelled", default=False, help="Excludes live_migration_with_native_tls."),
    cfg.BoolOpt("live_migration_with_native_tls", default=False, help="Excludes live_migration_tunnelled."),
    cfg.BoolOpt(
        "live_migration_permit_auto_converge", default=False, help="Changes nothing that is reported."
    ),
    cfg.BoolOpt(
        "live_migration_permit_post_copy", default=False, help="With parallel connections: needs QEMU 10.1."
    ),
    cfg.IntOpt(
        "live_migration_parallel_connections", default=1, help="Above 1 with post-copy: needs QEMU 10.1."
    ),
    cfg.BoolOpt(
        "volume_use_multipath",
        default=False,
        deprecated_name="iscsi_use_multipath",
        help="Volumes by multipath.",
    ),
    cfg.BoolOpt(
        "volume_enforce_multipath", default=False, help="Refuse to start where multipathd does not run."
    ),
    cfg.IntOpt("images_address_space_limit", default=2, help="Memory of qemu-img, in GiB."),
    cfg.IntOpt("images_cpu_time_limit", default=30, help="Seconds of CPU of qemu-img."),
    cfg.StrOpt(
        "remote_filesystem_transport",
        default="ssh",
        choices=("ssh", "rsync"),
        help="How disks are copied to other hosts.",
    ),
    cfg.StrOpt(
        "sysinfo_serial",
        default="unique",
        choices=("none", "os", "hardware", "auto", "unique"),
        help="Where guests have their serial number from.",
    ),
)

_REPORTER: Final[Sequence[cfg.Opt]] = (
    cfg.FloatOpt(
        "libvirt_time_limit",
        default=60.0,
        min=0.1,
        help="Seconds that libvirt has to answer one call. After that the cycle is given up and tried again.",
    ),
)

OPTIONS: Final[Mapping[str, Sequence[cfg.Opt]]] = {
    "DEFAULT": _DEFAULT,
    "compute": _COMPUTE,
    "image_cache": _IMAGE_CACHE,
    "libvirt": (*_HYPERVISOR, *_CPU, *_DISK, *_TPM, *_ONLY_CHECKED),
    "neutron": _NEUTRON,
    "reporter": _REPORTER,
    "workarounds": _WORKAROUNDS,
}

READ_WHERE_USED: Final = frozenset(
    {
        ("DEFAULT", "force_raw_images"),
        ("image_cache", "subdirectory_name"),
        ("libvirt", "cpu_power_management_strategy"),
        ("libvirt", "images_rbd_ceph_conf"),
        ("libvirt", "images_rbd_pool"),
        ("libvirt", "images_volume_group"),
        ("libvirt", "live_migration_permit_auto_converge"),
        ("libvirt", "num_intel_tdx_guests"),
        ("libvirt", "rbd_connect_timeout"),
        ("libvirt", "rbd_user"),
        ("libvirt", "supported_tpm_secret_security"),
        ("libvirt", "swtpm_group"),
        ("libvirt", "swtpm_user"),
        ("libvirt", "volume_use_multipath"),
        ("workarounds", "skip_cpu_compare_at_startup"),
    }
)
"""Options of which nova-compute does not notice a wrong value while nothing asks for them."""

_URIS: Final = {"lxc": "lxc:///", "parallels": "parallels:///system"}


def connection_uri(conf: cfg.ConfigOpts) -> str:
    """Return the URI to connect to: as configured, or the usual one of ``virt_type``."""
    return conf.libvirt.connection_uri or _URIS.get(conf.libvirt.virt_type, "qemu:///system")
