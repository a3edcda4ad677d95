"""The options of PCI in Placement: names, types and defaults of Nova 34 (nova/conf/pci.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oslo_config import cfg

PCI_OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "pci": (
        cfg.MultiStrOpt(
            "device_spec",
            default=[],
            deprecated_opts=[
                cfg.DeprecatedOpt("passthrough_whitelist", group="pci"),
                cfg.DeprecatedOpt("pci_passthrough_whitelist", group="DEFAULT"),
            ],
            help="The PCI devices that instances may have. A JSON object, or a list of them; the option may "
            "be repeated. Keys: vendor_id, product_id (hexadecimal); address (with wildcards as in "
            "'*:0a:00.*', or an object of regular expressions domain, bus, slot, function) or devname; "
            "resource_class, traits (comma separated), physical_network, managed, live_migratable, "
            "one_time_use, remote_managed. What is left out matches everything; the first object that "
            "matches a device counts.",
        ),
        cfg.BoolOpt(
            "report_in_placement",
            default=False,
            help="Report the devices of device_spec to Placement, each as a provider of its own below the "
            "compute node. Once it has been on it must stay on.",
        ),
    ),
}
