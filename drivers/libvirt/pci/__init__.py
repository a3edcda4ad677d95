"""PCI devices of ``[pci] device_spec`` as providers in Placement.

options.py   the options, Nova's own
spec.py      [pci] device_spec: text → what an operator asks for
address.py   PCI addresses, and the wildcards and regular expressions that match them
binding.py   what of a spec only the host can tell (sysfs): its network interface, whether it names a PF
device.py    node device XML → PCI devices: plain ones, PFs, VFs, vDPA
assigned.py  domain XML → which device is in which instance
view.py      devices and specs → one provider a device or PF: class, traits, total
part.py      puts that view into the tree, and missing allocations onto it
"""
