"""Reports what hosts have to OpenStack Placement; as a library, for schedulers and their tools.

    import drivers, reporter

    placement = reporter.connect(cloud="mycloud")
    driver = drivers.load_driver("host", reporter.load_config())
    driver.init_host("compute-1")
    with reporter.Reporter(driver, placement, "/var/lib/my-tool") as mine:
        for node in mine.nodes():
            for change in mine.diff(node).changes:
                print(change)
            mine.sync(node)
            print(reporter.read_tree(placement, node).data(node))

Nothing is global: several Placements, drivers and state directories go side by side, in several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reporter.errors import ReporterError
    from reporter.library import connect, read_tree
    from reporter.options import load_config
    from reporter.placement.client import PlacementClient
    from reporter.report import Report
    from reporter.settings import Settings
    from reporter.sync import Reporter

__all__ = [
    "PlacementClient",
    "Report",
    "Reporter",
    "ReporterError",
    "Settings",
    "connect",
    "load_config",
    "read_tree",
]

_HOMES = {
    "PlacementClient": "reporter.placement.client",
    "Report": "reporter.report",
    "Reporter": "reporter.sync",
    "ReporterError": "reporter.errors",
    "Settings": "reporter.settings",
    "connect": "reporter.library",
    "load_config": "reporter.options",
    "read_tree": "reporter.library",
}


def __getattr__(name: str) -> object:
    # Imported when first asked for: keystoneauth1 and oslo.config together take 0.3 s.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only here

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
