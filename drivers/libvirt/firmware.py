"""COMPUTE_SECURITY_*: emulated TPMs, secure boot, stateless firmware."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Collection
from dataclasses import dataclass

from drivers.errors import DriverOptionError
from drivers.libvirt.domain_capabilities import Tpm
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.records import Versions

_STATELESS_SINCE = (8, 6, 0)
_NO_TPM = Tpm(supported=False, models=(), backends=(), versions=())
_DEVICE_TRAITS = tuple(f"COMPUTE_SECURITY_TPM_{name}" for name in ("1_2", "2_0", "CRB", "TIS"))
_SECRET_TRAITS = {
    holder: f"COMPUTE_SECURITY_TPM_SECRET_SECURITY_{holder.upper()}"
    for holder in ("user", "host", "deployment")
}
TPM_TRAITS = frozenset({*_DEVICE_TRAITS, *_SECRET_TRAITS.values()})


@dataclass(frozen=True, slots=True)
class TpmSettings:
    """The options about emulated TPMs."""

    enabled: bool
    virt_type: str
    user: str
    group: str
    secret_security: tuple[str, ...]


def tpm_of(hypervisor: Hypervisor) -> Tpm:
    """Return the TPMs of guests of the host's architecture; its machine types do not differ in that."""
    for one in hypervisor.domain_capabilities()[hypervisor.capabilities().arch].values():
        return one.tpm or _NO_TPM
    return _NO_TPM


def check_tpm(settings: TpmSettings, hypervisor: Hypervisor) -> None:
    """Refuse emulated TPMs where there can be none.

    :raises DriverOptionError: containers, libvirt without swtpm, or an unknown user or group
    """
    if not settings.enabled:
        return
    name = "[libvirt] swtpm_enabled = true"
    if settings.virt_type not in {"kvm", "qemu"}:
        raise DriverOptionError(
            f"{name} cannot go with [libvirt] virt_type = {settings.virt_type}",
            "use virt_type kvm or qemu, or unset it",
        )
    tpm = tpm_of(hypervisor)
    if not (tpm.supported and "emulator" in tpm.backends):
        raise DriverOptionError(
            f"{name}, but libvirt knows of no emulated TPM", "install swtpm and swtpm-tools, or unset it"
        )
    _check_account("swtpm_user", settings.user, pwd.getpwnam)
    _check_account("swtpm_group", settings.group, grp.getgrnam)


def _check_account(option: str, name: str, find: Callable[[str], object]) -> None:
    try:
        find(name)
    except KeyError as error:
        raise DriverOptionError(
            f"[libvirt] {option} = {name}: there is no such {option.removeprefix('swtpm_')} on this host",
            "name the one that swtpm runs as",
        ) from error


def tpm_traits(settings: TpmSettings, tpm: Tpm) -> dict[str, bool]:
    """Return the traits of emulated TPMs: model, version, and who may hold their secret."""
    if not settings.enabled:
        return dict.fromkeys(TPM_TRAITS, False)
    versions: Collection[str] = ("1.2", "2.0") if tpm.versions is None else tpm.versions
    return {
        "COMPUTE_SECURITY_TPM_TIS": "tpm-tis" in tpm.models,
        "COMPUTE_SECURITY_TPM_CRB": "tpm-crb" in tpm.models,
        "COMPUTE_SECURITY_TPM_2_0": "2.0" in versions,
        "COMPUTE_SECURITY_TPM_1_2": "1.2" in versions,
        **{trait: holder in settings.secret_security for holder, trait in _SECRET_TRAITS.items()},
    }


def has_secure_boot(hypervisor: Hypervisor) -> bool:
    """Tell whether any machine type of the host's architecture can enforce secure boot."""
    machines = hypervisor.domain_capabilities()[hypervisor.capabilities().arch]
    return any(one.secure_boot for one in machines.values())


def has_stateless_firmware(versions: Versions) -> bool:
    """Tell whether guests can have a firmware that keeps no state."""
    return versions.at_least(libvirt=_STATELESS_SINCE)
