"""The uuid of the compute node, where Nova has stored it: a file ``compute_id`` (nova/virt/node.py).

Nova writes it once and never changes it. It is only read here: what Nova decided is the root provider's uuid.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import DriverOptionError
from drivers.root import unreadable

if TYPE_CHECKING:
    from oslo_config import cfg

COMPUTE_ID_FILE = "compute_id"


def compute_id_files(conf: cfg.ConfigOpts) -> list[Path]:
    """Return where the file may be: beside each configuration file, then in ``state_path``."""
    # A ConfigOpts that was never called has no config_file yet.
    config_files: Iterable[str] = getattr(conf, "config_file", None) or []
    directories = [*(Path(name).parent for name in config_files), Path(conf.state_path)]
    return [directory / COMPUTE_ID_FILE for directory in dict.fromkeys(directories)]


def parse_compute_id(text: str, path: Path) -> str:
    """Return the uuid that a compute_id file holds.

    :raises DriverOptionError: it holds something else
    """
    try:
        # As much as Nova reads: a uuid and some white space around it.
        return str(uuid.UUID(text[:40].strip()))
    except ValueError as error:
        raise DriverOptionError(
            f"{path} does not hold a uuid",
            "put back the uuid that the node has in Placement, or remove the file",
        ) from error


def read_node_uuid(conf: cfg.ConfigOpts) -> str | None:
    """Return the uuid of the node, None where no compute_id file exists.

    :raises DriverOptionError: a file is malformed, or two of them disagree
    :raises HostReadError: a file is there but cannot be read
    """
    found: dict[Path, str] = {}
    for path in compute_id_files(conf):
        try:
            found[path] = parse_compute_id(path.read_text(encoding="utf-8", errors="replace"), path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise unreadable(path, error) from error
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{path} says {node_uuid}" for path, node_uuid in found.items())
        raise DriverOptionError(
            f"the {COMPUTE_ID_FILE} files disagree: {listed}", "keep the one that is right"
        )
    return next(iter(found.values()), None)
