"""What can be wrong with ``[pci] device_spec``."""

from __future__ import annotations

import json
from typing import Any

from drivers.errors import DriverOptionError

OPTION = "[pci] device_spec"


class SpecProblem(ValueError):
    """Why an entry of device_spec cannot be used; becomes a DriverOptionError that shows the entry."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


def option_error(reason: str, advice: str, entry: Any = None) -> DriverOptionError:
    """Return the error that names the option, the reason, what to do, and the entry that it is about."""
    about = "" if entry is None else f" in {entry if isinstance(entry, str) else json.dumps(entry)}"
    return DriverOptionError(f"{OPTION}: {reason}{about}", advice)
