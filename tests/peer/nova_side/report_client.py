"""Nova's report client at work on a real Placement: report_client.py URL nova|ours.

With "ours" all its trees are our ProviderTree. Prints what it sent: [[method, path, query], ...] as JSON.
"""

import copy
import json
import logging
import re
import sys
import uuid

import nova.compute.provider_tree
import nova.conf
import requests
from keystoneauth1.loading import get_plugin_loader
from nova import context as nova_context
from nova import exception
from nova.compute.resource_tracker import ResourceTracker
from nova.scheduler.client import report
from nova.virt import fake

import provider_tree

CONF = nova.conf.CONF
HOST = "compute-1"
SENT = []


def uid(name):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def record_requests(root):
    send = requests.Session.send

    def recorded(session, request, **options):
        path, _, query = request.url.removeprefix(root).partition("?")
        # Names in a query come from a set: their order says nothing.
        SENT.append([request.method, path, sorted(re.split("[&,:]", query))])
        return send(session, request, **options)

    requests.Session.send = recorded


def new_client(url):
    client = report.SchedulerReportClient()
    client._client.session.additional_headers["X-Roles"] = "admin,service"
    return client


def configure(url):
    CONF([], project="nova", default_config_files=[])
    CONF.set_override("auth_type", "admin_token", "placement")
    options = [option._to_oslo_opt() for option in get_plugin_loader("admin_token").get_options()]
    CONF.register_opts(options, group="placement")
    CONF.set_override("endpoint", url, "placement")
    CONF.set_override("token", "admin", "placement")


def tree_of(client, context, whole=True):
    get = client.get_provider_tree_and_ensure_root if whole else client.get_provider_subtree_and_ensure_root
    return get(context, uid(HOST), name=HOST)


def add_devices(tree):
    """Two NUMA nodes with a device each, the second a tree's third level."""
    for at in range(2):
        node, device = f"{HOST}_NUMA{at}", f"{HOST}_gpu{at}"
        tree.new_child(node, HOST, uuid=uid(node))
        tree.update_inventory(node, {"PCPU": {"total": 8, "max_unit": 8}})
        tree.update_traits(node, ["HW_NUMA_ROOT", f"CUSTOM_NODE_{at}"])
        tree.new_child(device, uid(node), uuid=uid(device))
        tree.update_inventory(device, {"CUSTOM_GPU": {"total": 4}})
        tree.update_aggregates(device, [uid("aggregate")])


def move_gpu(client, context, consumer):
    """Move one device's inventory, and what is allocated of it, to the NUMA node above: a reshape."""
    node, device = f"{HOST}_NUMA0", f"{HOST}_gpu0"
    tree = tree_of(client, context, whole=False)
    allocations = copy.deepcopy(client.get_allocations_for_provider_tree(context, HOST))
    tree.update_inventory(node, {"PCPU": {"total": 8}, "CUSTOM_GPU": {"total": 4}})
    tree.remove(device)
    held = allocations[consumer]["allocations"]
    held[uid(node)] = {"resources": held.pop(uid(device))["resources"]}
    client.update_from_provider_tree(context, tree, allocations=allocations)
    return tree


def main(url, whose):
    logging.disable(logging.CRITICAL)
    if whose == "ours":
        nova.compute.provider_tree.ProviderTree = provider_tree.ProviderTree
        nova.compute.provider_tree.ProviderSubTree = provider_tree.ProviderSubTree
    configure(url)
    record_requests(url)
    context = nova_context.get_admin_context()
    client = new_client(url)
    driver = fake.FakeDriver(virtapi=None)

    tree = tree_of(client, context)
    assert type(tree) is nova.compute.provider_tree.ProviderTree
    driver.update_provider_tree(tree, HOST)
    tree.add_traits(HOST, "COMPUTE_NODE")
    add_devices(tree)
    client.update_from_provider_tree(context, tree)

    tree = tree_of(client, context, whole=False)
    assert type(tree) is nova.compute.provider_tree.ProviderSubTree
    driver.update_provider_tree(tree, HOST)
    additional = {"traits": {"additional": ["CUSTOM_EXTRA"]}, "__source_file": "provider.yaml"}
    tracker = ResourceTracker.__new__(ResourceTracker)
    tracker.absent_providers = set()
    tracker._merge_provider_configs({"$COMPUTE_NODE": additional}, tree)
    tree.update_inventory(f"{HOST}_gpu1", {"CUSTOM_GPU": {"total": 2}})
    client.update_from_provider_tree(context, tree)

    client = new_client(url)
    tree = tree_of(client, context)
    assert tree.data(HOST).traits >= {"CUSTOM_EXTRA", "OWNER_NOVA"}
    client.update_from_provider_tree(context, tree)

    consumer = uid("instance")
    allocations = {uid(f"{HOST}_gpu0"): {"resources": {"CUSTOM_GPU": 1}}}
    body = {"allocations": allocations, "project_id": "p", "user_id": "u", "consumer_generation": None}
    assert client.put("/allocations/" + consumer, body, version="1.28").status_code == 204
    try:
        tree = move_gpu(client, context, consumer)
    except exception.PlacementReshapeConflict:  # the allocation moved a generation on; Nova tries again
        tree = move_gpu(client, context, consumer)

    assert tree_of(client, context).get_provider_uuids() == tree.get_provider_uuids()
    json.dump(SENT, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
