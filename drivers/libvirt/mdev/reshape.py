"""Allocations of VGPU from the compute node's own provider to those of the GPUs that the instances really
use.

Before Stein, Nova counted all vGPUs of a host on its root. Which instance uses which GPU is known from the
mediated devices in the domains' XML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from drivers.base import Allocations
from drivers.errors import ReshapeFailed
from drivers.libvirt import reshape
from drivers.libvirt.mdev.config import VGPU


def move_to_gpus(
    allocations: Allocations,
    root: str,
    gpus: Mapping[str, str],
    devices_of: Mapping[str, tuple[str, ...]],
    gpu_of: Mapping[str, str],
) -> None:
    """Move what each consumer holds of VGPU on the root, in place.

    Allocations of VGPU elsewhere (on the GPUs already, or on another host that an instance was evacuated
    from) stay as they are.

    :param root: uuid of the root
    :param gpus: GPU (libvirt's name) → uuid of its provider, for those that provide VGPU
    :param devices_of: instance uuid → uuids of its mediated devices
    :param gpu_of: uuid of a mediated device → GPU
    :raises ReshapeFailed: a consumer is no instance of this host, uses another number of devices than it has
        allocated, or a device of a GPU that provides no VGPU
    """
    for consumer in allocations:
        amount = reshape.held(allocations, consumer, root, VGPU)
        if not amount:
            continue
        for gpu, count in sorted(_used(consumer, amount, devices_of, gpu_of).items()):
            if gpu not in gpus:
                raise ReshapeFailed(
                    f"consumer {consumer} uses {count} vGPU of {gpu}, which provides no {VGPU} (any more)",
                    f"enable the type of these devices for {gpu} in [devices] enabled_mdev_types, as {VGPU}",
                )
            reshape.take(allocations, consumer, root, VGPU, count)
            reshape.add(allocations, consumer, gpus[gpu], VGPU, count)


def _used(
    consumer: str, amount: int, devices_of: Mapping[str, tuple[str, ...]], gpu_of: Mapping[str, str]
) -> Counter[str]:
    devices = devices_of.get(consumer, ())
    if not devices:
        raise ReshapeFailed(
            f"consumer {consumer} has {amount} {VGPU}, but is no instance here that has mediated devices",
            "finish or revert its migration, or delete its allocations if the instance is gone",
        )
    unknown = [each for each in devices if each not in gpu_of]
    if unknown:
        raise ReshapeFailed(
            f"mediated device {unknown[0]} of consumer {consumer} does not exist on this host",
            "create it again (start the instance), or take it out of the instance",
        )
    used = Counter(gpu_of[each] for each in devices)
    if used.total() != amount:
        raise ReshapeFailed(
            f"consumer {consumer} has {amount} {VGPU} allocated, but uses {used.total()}",
            "correct its allocation, or attach what is missing; then every device can be accounted for",
        )
    return used
