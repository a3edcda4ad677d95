from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.host.cpuinfo import CpuInfo, parse_cpuinfo

X86_32 = "processor\t: 0\nvendor_id\t: GenuineIntel\nfdiv_bug\t: no\nflags\t\t: fpu pae lm\n"
MIXED = "processor : 0\nflags : fpu sse avx\n\nprocessor : 1\nflags : fpu sse\n"
S390 = (
    "vendor_id       : IBM/S390\n# processors    : 2\nfeatures\t: esan3 zarch vx\n"
    "processor 0: version = FF,  identification = 29AA14,  machine = 2817\n"
    "processor 1: version = FF,  identification = 29AA14,  machine = 2817\n\ncpu number      : 0\n"
)
IA64 = "processor  : 0\narch       : IA-64\nfeatures   : branchlong, 16-byte atomic ops\n"
ARM32 = (
    "Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\n\nFeatures\t: swp neon\nCPU architecture: 7\n"
)
RISCV = "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdcv_zicsr_zifencei\nmvendorid\t: 0x5b7\n"
LOONGARCH = "processor\t: 0\nModel Name\t: Loongson\nISA\t\t: loongarch32r loongarch64\nFeatures\t: lsx\n"
POWER = "processor\t: 0\ncpu\t\t: POWER9 (raw)\n\nprocessor\t: 1\ncpu\t\t: POWER9 (raw)\n"


@pytest.mark.parametrize(
    ("text", "processors", "flags", "arch", "model"),
    [
        (X86_32, {0}, {"fpu", "pae", "lm"}, "i686", None),
        (MIXED, {0, 1}, {"fpu", "sse"}, "i686", None),
        (S390, {0, 1}, {"esan3", "zarch", "vx"}, "s390x", None),
        (IA64, {0}, {"branchlong", "16-byte atomic ops"}, "ia64", None),
        (ARM32, {0}, {"swp", "neon"}, "armv7l", "ARMv7 Processor rev 4 (v7l)"),
        (RISCV, {0}, {*"imafdcv", "zicsr", "zifencei"}, "riscv64", None),
        (LOONGARCH, {0}, {"lsx"}, "loongarch64", "Loongson"),
        (POWER, {0, 1}, None, None, "POWER9 (raw)"),
    ],
)
def test_formats(
    text: str, processors: set[int], flags: set[str] | None, arch: str | None, model: str | None
) -> None:
    info = parse_cpuinfo(text)
    assert info.processors == frozenset(processors)
    assert info.flags == (None if flags is None else frozenset(flags))
    assert (info.arch, info.model) == (arch, model)


def test_no_text_tells_nothing() -> None:
    assert parse_cpuinfo("") == CpuInfo()


@given(st.text(alphabet=st.sampled_from("processrflagisv: \t\n0123456789,ٱ\0"), max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    parse_cpuinfo(text)
