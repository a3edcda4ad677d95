"""A hypervisor that libvirt manages, reported as nova-compute's libvirt driver reports it.

Which file makes which part of the tree:

    driver.py               the order of things: read, build, set; nothing is computed here
    options.py              the options, with Nova's names
    settings.py             the options as values
    checks.py, power.py     configurations that are refused, each with its reason
    cpu_sets.py             VCPU and PCPU
    memory.py               MEMORY_MB
    disk.py                 DISK_GB: instances_path, LVM, RBD, and what the image cache takes
    cpu_traits.py           HW_CPU_*, HW_ARCH_*, COMPUTE_ARCH_*
    device_traits.py        COMPUTE_STORAGE_BUS_*, _GRAPHICS_*, _NET_*, _VIOMMU_*, _SOUND_*
    firmware.py             COMPUTE_SECURITY_*: TPM, secure boot, stateless firmware
    traits.py               all of them together, and what each is due to
    abilities.py            the traits of what the driver itself can do (image types, attaching, …)
    parts.py                the seam to what adds child providers and moves allocations:
    pci/                    CUSTOM_PCI_*: a provider a device of [pci] device_spec
    mdev/                   VGPU: a provider a physical GPU, and VGPU of the node moving there
    memory_encryption*.py   MEM_ENCRYPTION_CONTEXT: a provider a technology (SEV, TDX)
    vpmem.py                CUSTOM_PMEM_NAMESPACE_*
    reshape_pinned.py       VCPU of pinned guests becoming PCPU

    connection.py           the only importer of libvirt: reading calls
    lanes.py, reach.py      calls off the main thread, with a time limit; made again when the connection broke
    records.py              what a connection answers
    watching.py, events.py  what libvirt says unasked, and the events that become of it
    hypervisor.py           what hardly ever changes: parsed, and kept until libvirtd or QEMU changes
    capabilities.py         parses the capabilities document
    domain_capabilities.py  parses the domain capabilities of one architecture and machine
    cpu_xml.py              CPU descriptions to and from XML
    xmltext.py              XML text to elements, safe against entity bombs
    instances.py            what the guests take
    domain_xml.py           parses what a guest has of the host: devices, pinned CPUs; guests.py reads all
    reshape.py, telling.py  changing single amounts of allocations; warning once
    numa.py                 the NUMA cells, for Nova's own database
    host_resource.py        get_available_resource: the view that Nova keeps in its own database
"""
