"""vGPUs, memory encryption and persistent memory beside Nova's driver: the same refusals and amounts."""

import json

import pytest

from tests.peer.nova_process import needs_nova, run_beside_nova

pytestmark = [*needs_nova, pytest.mark.slow]


def test_nova_reports_the_same(tmp_path):
    seen = json.loads(run_beside_nova("libvirt_mdev.py", str(tmp_path)))
    assert min(seen.values()) > 5, seen
    assert len(seen) == 9
