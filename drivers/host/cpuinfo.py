"""What /proc/cpuinfo says of the processors; every architecture writes it in its own way.

x86 has ``flags``, arm ``Features``, s390 ``features`` and ``processor 0: version = …``, ia64 ``features``
with commas, riscv ``isa``. It may be ``Processor`` (the model, 32-bit arm) beside ``processor`` (the number).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.root import HostRoot

CPUINFO = "proc/cpuinfo"

_FLAG_KEYS = ("flags", "Features", "features")
_MODEL_KEYS = ("model name", "Model Name", "cpu model", "cpu", "Processor", "uarch")
_VENDOR_KEYS = ("vendor_id", "vendor", "CPU implementer", "mvendorid")
_S390_PROCESSOR = re.compile(r"processor (\d+)\Z")


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What the processors say of themselves; None for what is not written.

    :ivar processors: the numbers of the CPUs that are online
    :ivar flags: the features that every CPU listed has
    :ivar arch: the machine name of uname(1) as far as it follows from the text
    """

    processors: frozenset[int] | None = None
    flags: frozenset[str] | None = None
    model: str | None = None
    vendor: str | None = None
    arch: str | None = None


def read_cpuinfo(root: HostRoot) -> CpuInfo:
    """Return what /proc/cpuinfo says; nothing where there is no such file.

    :raises HostReadError: it cannot be read
    """
    text = root.find_text(CPUINFO)
    return CpuInfo() if text is None else parse_cpuinfo(text)


def parse_cpuinfo(text: str) -> CpuInfo:
    """Return what the text of /proc/cpuinfo says. No text is malformed: there is no format to hold it to."""
    processors: set[int] = set()
    first: dict[str, str] = {}
    flags: frozenset[str] | None = None
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            continue
        if key in _FLAG_KEYS:
            own = _words(value)
            flags = own if flags is None else flags & own
        elif key == "processor" and value.isdecimal():
            processors.add(int(value))
        elif match := _S390_PROCESSOR.match(key):
            processors.add(int(match[1]))
        first.setdefault(key, value)
    return CpuInfo(
        processors=frozenset(processors) or None,
        flags=flags if flags is not None else _riscv_extensions(first.get("isa")),
        model=next((first[key] for key in _MODEL_KEYS if first.get(key)), None),
        vendor=next((first[key] for key in _VENDOR_KEYS if first.get(key)), None),
        arch=_arch(first, flags),
    )


def _words(value: str) -> frozenset[str]:
    """Return the features of a line: ia64 has ``branchlong, 16-byte atomic ops``, the others spaces."""
    if "," in value:
        return frozenset(filter(None, (word.strip() for word in value.split(","))))
    return frozenset(value.split())


def _riscv_extensions(isa: str | None) -> frozenset[str] | None:
    """Return the extensions of ``rv64imafdcv_zicsr``: single letters, then names after underscores."""
    if isa is None or not isa.startswith("rv"):
        return None
    letters, *names = isa.removeprefix("rv").lstrip("0123456789").split("_")
    return frozenset([*letters, *names])


def _arch(first: dict[str, str], flags: frozenset[str] | None) -> str | None:
    """Return the architecture as far as the text tells: POWER does not tell its byte order."""
    if "flags" in first:
        # A 32-bit kernel lists the bugs of 32-bit processors, also where the processor could do 64.
        return "x86_64" if "lm" in (flags or ()) and "fdiv_bug" not in first else "i686"
    isa = first.get("ISA") or first.get("isa", "")
    marks = {
        "s390x": first.get("vendor_id") == "IBM/S390",
        "ia64": first.get("arch") == "IA-64",
        "loongarch64": "loongarch64" in isa.split(),
        "riscv64": isa.startswith("rv64"),
        "riscv32": isa.startswith("rv32"),
    }
    for arch, marked in marks.items():
        if marked:
            return arch
    version = re.match(r"\d+", first.get("CPU architecture", ""))
    if version is not None:
        return "aarch64" if int(version[0]) >= 8 else f"armv{version[0]}l"
    return None
