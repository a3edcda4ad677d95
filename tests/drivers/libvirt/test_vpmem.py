"""Persistent memory namespaces as inventory of the node itself."""

import json

import pytest

from drivers.errors import DriverOptionError, HostReadError
from drivers.libvirt.vpmem import VpmemPart, choose_namespaces, parse_ndctl, put_namespaces
from tests.drivers.libvirt.builders import NODE, Machine, configuration, hypervisor, new_tree

GIB = 1 << 30


def ndctl(*names, size=4 * GIB):
    return json.dumps(
        [
            {
                "dev": f"namespace0.{number}",
                "mode": "devdax",
                "map": "mem",
                "size": size,
                "uuid": "dddddddd-0000-0000-0000-000000000000",
                **({"name": name} if name else {}),
                "daxregion": {
                    "id": 0,
                    "size": size,
                    "align": 2 << 20,
                    "devices": [{"chardev": f"dax0.{number}", "size": size}],
                },
                "state": "enabled",
            }
            for number, name in enumerate(names)
        ]
    )


HOST = parse_ndctl(ndctl("ns0", "ns1", "ns2", None))


def test_namespaces_of_the_host():
    assert list(HOST) == ["ns0", "ns1", "ns2"]
    assert (HOST["ns1"].devpath, HOST["ns1"].size, HOST["ns1"].align) == ("/dev/dax0.1", 4 * GIB, 2 << 20)
    assert parse_ndctl("") == {}
    assert parse_ndctl("[]") == {}


@pytest.mark.parametrize(
    "text", ["{", "5", '[{"name": "ns0"}]', '[{"name": "ns0", "size": 1, "daxregion": {"devices": []}}]']
)
def test_what_ndctl_should_not_print(text):
    with pytest.raises(HostReadError, match="ndctl list -X"):
        parse_ndctl(text)


def test_a_class_a_label():
    chosen = choose_namespaces(["128G:ns0|ns2", "small one:ns1"], HOST)
    assert {name: [each.name for each in namespaces] for name, namespaces in chosen.items()} == {
        "CUSTOM_PMEM_NAMESPACE_128G": ["ns0", "ns2"],
        "CUSTOM_PMEM_NAMESPACE_SMALL_ONE": ["ns1"],
    }
    assert chosen["CUSTOM_PMEM_NAMESPACE_SMALL_ONE"][0].label == "small one"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (["ns0"], "'ns0' has no label"),
        (["A:ns0|ns9"], "this host has no namespace 'ns9'"),
        (["A:ns0", "B:ns0"], "ns0 is named twice"),
        (["A:ns0|ns0"], "ns0 is named twice"),
        (["A:"], "no namespace ''"),
    ],
)
def test_refusals(entries, reason):
    with pytest.raises(DriverOptionError, match=reason) as caught:
        choose_namespaces(entries, HOST)
    assert caught.value.what.startswith("[libvirt] pmem_namespaces: ")
    assert caught.value.advice


def test_the_node_has_them_beside_the_rest():
    tree = new_tree({"VCPU": {"total": 8}, "CUSTOM_PMEM_NAMESPACE_OLD": {"total": 1}})
    put_namespaces(tree, NODE, choose_namespaces(["A:ns0|ns1"], HOST))
    assert tree.provider(NODE).inventory == {
        "VCPU": {"total": 8},
        "CUSTOM_PMEM_NAMESPACE_A": {
            "total": 2, "reserved": 0, "min_unit": 1, "max_unit": 2, "step_size": 1, "allocation_ratio": 1.0,
        },
    }  # fmt: skip
    records = tree.data(NODE).resources["CUSTOM_PMEM_NAMESPACE_A"]
    assert sorted((each.identifier, each.provider_uuid, each.metadata.devpath) for each in records) == [
        ("ns0", tree.provider(NODE).uuid, "/dev/dax0.0"),
        ("ns1", tree.provider(NODE).uuid, "/dev/dax0.1"),
    ]


def part(tmp_path, text):
    return VpmemPart(configuration(tmp_path, f"[libvirt]\n{text}\n", VpmemPart), hypervisor(Machine()))


def test_without_the_option_ndctl_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    tree = new_tree()
    part(tmp_path, "").check()
    part(tmp_path, "").update(tree, NODE, None)
    assert tree.provider(NODE).inventory == {"VCPU": {"total": 8}}


@pytest.mark.parametrize(
    ("script", "reason"),
    [(None, "cannot run ndctl list -X"), ("echo no rights >&2; exit 3", "failed: no rights")],
)
def test_an_ndctl_that_is_missing_or_fails(tmp_path, monkeypatch, script, reason):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        program(tmp_path, script)
    with pytest.raises(HostReadError, match=reason) as caught:
        part(tmp_path, "pmem_namespaces = A:ns0").check()
    assert "install ndctl" in caught.value.advice


def test_the_whole_way(tmp_path, monkeypatch):
    (tmp_path / "answer").write_text(ndctl("ns0"))
    program(tmp_path, f'while read -r line; do echo "$line"; done < {tmp_path}/answer; echo')
    (tmp_path / "answer").write_text(ndctl("ns0") + "\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    tree, vpmem = new_tree(), part(tmp_path, "pmem_namespaces = A:ns0")
    vpmem.check()
    vpmem.update(tree, NODE, None)
    assert tree.provider(NODE).inventory["CUSTOM_PMEM_NAMESPACE_A"]["total"] == 1


def program(directory, script):
    file = directory / "ndctl"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
