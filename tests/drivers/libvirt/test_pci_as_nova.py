"""device_spec beside Nova's: the same acceptance, the same matches, the same providers and allocations."""

import json

import pytest

from tests.peer.nova_process import needs_nova, run_beside_nova

pytestmark = [*needs_nova, pytest.mark.slow]


def test_nova_accepts_matches_and_reports_the_same(tmp_path):
    seen = json.loads(run_beside_nova("libvirt_pci.py", str(tmp_path)))
    assert min(seen.values()) > 30, seen
    assert len(seen) == 6
