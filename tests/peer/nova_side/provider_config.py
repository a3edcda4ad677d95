"""Reads each directory below argv[1] with Nova's loader; prints what it found, or null where it refuses."""

import json
import sys
from pathlib import Path

from nova.compute import provider_config


def read(directory):
    try:
        configs = provider_config.get_provider_configs(str(directory))
    except Exception:  # noqa: BLE001 - whatever it is, Nova does not start
        return None
    return {
        key: {
            "inventories": {
                name: record
                for classes in config.get("inventories", {}).get("additional", [])
                for name, record in dict(classes).items()
            },
            "traits": sorted(set(config.get("traits", {}).get("additional", []))),
        }
        for key, config in configs.items()
    }


print(json.dumps({path.name: read(path) for path in Path(sys.argv[1]).iterdir()}))  # noqa: T201 - the answer of this script
