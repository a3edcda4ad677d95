"""Runs Nova's own unit tests of ProviderTree on ours; prints {"run": n, "failed": {name: traceback}}."""

import json
import sys
import types
import unittest

import nova
import nova.compute.provider_tree

import provider_tree

SUITE = "nova.tests.unit.compute.test_provider_tree"


class Node:
    """What one test gets from a private method to walk the tree: a provider with its children."""

    def __init__(self, tree, provider):
        self.provider = provider
        self.children = {child.uuid: Node(tree, child) for child in tree.children(provider.uuid)}

    def __getattr__(self, name):
        return getattr(self.provider, name)


class TreeUnderTest(provider_tree.ProviderTree):
    def _find_with_lock(self, name_or_uuid):
        return Node(self, self.provider(name_or_uuid))


def main():
    # Nova's base class sets up databases and services, and wants libraries that its wheel does not bring.
    base = types.ModuleType("nova.test")
    base.NoDBTestCase = unittest.TestCase
    sys.modules["nova.test"] = nova.test = base
    from nova import objects

    objects.register_all()
    nova.compute.provider_tree.ProviderTree = TreeUnderTest
    nova.compute.provider_tree.ProviderSubTree = provider_tree.ProviderSubTree
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromName(SUITE).run(result)
    failed = {test.id().rpartition(".")[2]: trace for test, trace in result.failures + result.errors}
    json.dump({"run": result.testsRun, "failed": failed}, sys.stdout)


if __name__ == "__main__":
    main()
