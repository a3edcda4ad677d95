"""Made-up hosts of several architectures beside Nova's driver: the same traits, capabilities, CPUs, cells."""

import json

import pytest

from tests.peer.nova_process import needs_nova, run_beside_nova

pytest.importorskip("libvirt", reason="needs the libvirt extra")
pytestmark = [*needs_nova, pytest.mark.slow]


def test_nova_finds_the_same_on_the_same_host_or_refuses_it_too(tmp_path):
    seen = json.loads(run_beside_nova("libvirt_host.py", str(tmp_path)))
    assert seen["same"] > 100
    assert seen["refused"] > 50
    assert seen["list"] > 30
