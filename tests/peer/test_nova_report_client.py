"""Nova's SchedulerReportClient works on our ProviderTree as on its own, against a real Placement."""

import json
import uuid

import pytest
import requests

from tests.peer.nova_process import needs_nova, run_beside_nova

pytestmark = needs_nova

HEADERS = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}


def uid(name):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


@pytest.fixture(scope="module")
def runs():
    """What Nova's client sends and leaves behind with each of the two trees."""
    return {whose: run(whose) for whose in ("nova", "ours")}


def run(whose):
    embedded = pytest.importorskip("reporter.embedded")
    with embedded.EmbeddedPlacement() as placement:
        sent = json.loads(run_beside_nova("report_client.py", placement.url, whose))
        return sent, state(placement.url)


def state(url):
    """All that the Placement holds, by provider name."""

    def get(path):
        answer = requests.get(url + path, headers=HEADERS, timeout=10)
        answer.raise_for_status()
        return answer.json()

    return {
        provider["name"]: {
            "provider": provider | {"links": None},
            "inventories": get(f"/resource_providers/{provider['uuid']}/inventories")["inventories"],
            "traits": sorted(get(f"/resource_providers/{provider['uuid']}/traits")["traits"]),
            "aggregates": get(f"/resource_providers/{provider['uuid']}/aggregates")["aggregates"],
            "allocations": get(f"/resource_providers/{provider['uuid']}/allocations")["allocations"],
        }
        for provider in get("/resource_providers")["resource_providers"]
    }


def test_the_client_leaves_the_tree_that_was_asked_for(runs):
    _, left = runs["ours"]
    assert set(left) == {"compute-1", "compute-1_NUMA0", "compute-1_NUMA1", "compute-1_gpu1"}
    root = left["compute-1"]
    assert {"VCPU", "MEMORY_MB", "DISK_GB"} == set(root["inventories"])
    assert root["traits"] == ["COMPUTE_NODE", "CUSTOM_EXTRA", "OWNER_NOVA"]
    assert left["compute-1_NUMA0"]["inventories"]["CUSTOM_GPU"]["total"] == 4
    assert left["compute-1_NUMA0"]["allocations"][uid("instance")]["resources"] == {"CUSTOM_GPU": 1}
    assert left["compute-1_gpu1"]["provider"]["parent_provider_uuid"] == uid("compute-1_NUMA1")
    assert left["compute-1_gpu1"]["inventories"]["CUSTOM_GPU"]["total"] == 2
    assert left["compute-1_gpu1"]["aggregates"] == [uid("aggregate")]


def test_the_client_sends_the_same_requests_as_with_novas_tree(runs):
    assert runs["ours"][0] == runs["nova"][0]
    assert len(runs["ours"][0]) > 50


def test_placement_ends_up_the_same_as_with_novas_tree(runs):
    assert runs["ours"][1] == runs["nova"][1]
