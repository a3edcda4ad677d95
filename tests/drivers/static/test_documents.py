from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from drivers.errors import DriverOptionError, HostReadError
from drivers.static.documents import load_documents
from drivers.static.files import list_files, read_text
from provider_tree.document import to_document
from provider_tree.errors import InvalidTree
from provider_tree.source import Source

MAX_SIZE = 1 << 20

NODE = """\
format_version: 1
providers:
  - name: node1
    inventory:
      VCPU: {total: 8, allocation_ratio: 4.0}
    traits: [COMPUTE_NODE]
    aggregates: [7b6f5d5c-4f0e-4b2a-a8a0-6d3c8b1f2e10]
  - name: node1_gpu
    uuid: 11111111-2222-4333-8444-555555555555
    parent: node1
    inventory: {VGPU: 16}
"""


def test_a_document_in_yaml_and_the_same_in_json(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(NODE)
    from_yaml = load_documents([tmp_path / "a.yaml"], MAX_SIZE)
    (tmp_path / "a.json").write_text(json.dumps(to_document(from_yaml.tree)))
    from_json = load_documents([tmp_path / "a.json"], MAX_SIZE)
    assert to_document(from_json.tree) == to_document(from_yaml.tree)
    assert from_yaml.named_uuids == {"11111111-2222-4333-8444-555555555555"}
    assert len(from_json.named_uuids) == 2


def test_each_value_says_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(NODE)
    tree = load_documents([path], MAX_SIZE).tree
    notes = tree.notes("node1")
    assert notes["VCPU"].detail == f"{path}: providers[0].inventory.VCPU"
    assert notes["VCPU"].value == {"total": 8, "allocation_ratio": 4.0}
    assert notes["traits.COMPUTE_NODE"] == Source("document", f"{path}: providers[0].traits")
    assert notes["aggregates.7b6f5d5c-4f0e-4b2a-a8a0-6d3c8b1f2e10"].kind == "document"
    assert tree.notes("node1_gpu")["name"].detail == f"{path}: providers[1].name"


def test_uuids_that_are_not_named_are_the_same_every_time(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(NODE)
    first, second = (load_documents([path], MAX_SIZE).tree for _ in range(2))
    assert first.get_provider_uuids() == second.get_provider_uuids()


def test_several_files_make_one_forest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("providers: [{name: n1}, {name: n2}]")
    (tmp_path / "b.json").write_text('{"providers": [{"name": "n3"}]}')
    paths = [each.path for each in list_files(tmp_path).signatures]
    documents = load_documents(paths, MAX_SIZE)
    assert sorted(root.name for root in documents.tree.roots) == ["n1", "n2", "n3"]
    assert {path.name for path in documents.files.values()} == {"a.yaml", "b.json"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.yaml: the document: must be a mapping"),
        ("providers:\n- {name: n1}\n- {name: n1}\n", r"a\.yaml:3: providers\[1\]\.name: 'n1' is the name"),
        (
            "providers:\n- name: n1\n  inventory:\n    VCPU: 0\n",
            r"a\.yaml:4: providers\[0\]\.inventory\.VCPU",
        ),
        (
            "providers:\n- name: n1\n  inventory:\n    VCPUS: 4\n",
            r"a\.yaml:4: providers\[0\]\.inventory\.VCPUS",
        ),
        ("providers:\n- name: n1\n  traits:\n  - GOLD\n", r"a\.yaml:4: providers\[0\]\.traits\[0\]"),
        (
            "providers:\n- name: n1\n  parent: n9\n",
            r"a\.yaml:3: providers\[0\]\.parent: there is no provider",
        ),
        ("providers:\n- name: 2026-01-01\n", r"a\.yaml:2: providers\[0\]\.name: must be text"),
        ("provider: []\n", r"a\.yaml:1: the document\.provider: is not known"),
        ("format_version: 2\nproviders: []\n", r"a\.yaml:1: format_version: 2 is not known"),
        ("providers:\n- name: n1\n  name: n2\n", r"a\.yaml:3: the key 'name' stands twice"),
        ("providers:\n- name: n1\n  uuid: [\n", r"a\.yaml:4: "),
        ("providers: []\nreshape: {}\n", r"a\.yaml:2: reshape: must be a list"),
        ("a: &a [*a]\n", r"a\.yaml:1: the alias \*a stands inside what it names"),
        ("- " * 100, r"a\.yaml:1: nested more than"),
        ("providers: !!python/name:os.system\n", r"a\.yaml:1: could not determine a constructor"),
        ("a: \x01\n", r"a\.yaml: .*not allowed"),
        ("a: 1\n---\nb: 2\n", r"a\.yaml:2: but found another document"),
    ],
)
def test_what_is_wrong_in_yaml_is_told_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InvalidTree, match=message) as caught:
        load_documents([tmp_path / "a.yaml"], MAX_SIZE)
    assert caught.value.advice
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"providers": [\n  {"name": "n1", "inventory": {"VCPU": {"total": 0}}}]}',
            r"a\.json:2: providers\[0\]",
        ),
        ('{"providers": [\n{"name" "n1"}]}', r"a\.json:2: Expecting ':' delimiter"),
        ('{"providers": [], "providers": []}', r"a\.json: the key 'providers' stands twice"),
        ('{"providers": NaN}', r"a\.json: NaN is not a number in JSON"),
        (r'{"providers": [{"name": "n\ud800"}]}', r"a\.json: providers\[0\]\.name: .* is no Unicode text"),
        ("[" * 200_000, r"a\.json: is nested too deeply"),
        ("", r"a\.json:1: Expecting value"),
    ],
)
def test_what_is_wrong_in_json_is_told_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InvalidTree, match=message):
        load_documents([tmp_path / "a.json"], MAX_SIZE)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("5", r"reshape\[0\]: must be a mapping"),
        ("{class: VGPU, from: n1}", r"reshape\[0\]\.to: must be text"),
        ("{class: VGPU, from: n1, to: n9}", r"reshape\[0\]\.to: there is no provider 'n9'"),
        ("{class: GPU, from: n1, to: n1}", r"reshape\[0\]\.class: 'GPU' is not a resource class"),
        ("{class: VGPU, from: n1, to: n1, to_class: x}", r"reshape\[0\]\.to_class: 'x' is not"),
        ("{class: VGPU, from: n1, to: n1, consumers: x}", r"reshape\[0\]\.consumers: must be a list"),
        ("{class: VGPU, from: n1, to: n1, consumers: [7]}", r"reshape\[0\]\.consumers\[0\]: 7 is not a uuid"),
        ("{class: VGPU, from: n1, to: n1, who: x}", r"reshape\[0\]\.who: is not known"),
    ],
)
def test_a_reshape_rule_that_is_wrong_is_told(tmp_path: Path, rule: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(f"providers: [{{name: n1}}]\nreshape:\n- {rule}\n")
    with pytest.raises(InvalidTree, match=rf"a\.yaml:3: {message}"):
        load_documents([tmp_path / "a.yaml"], MAX_SIZE)


@pytest.mark.parametrize("field", ["name", "uuid"])
def test_one_name_or_uuid_in_two_files_is_refused(tmp_path: Path, field: str) -> None:
    uuid = "11111111-2222-4333-8444-555555555555"
    for name in ("a", "b"):
        other = "same" if field == "name" else name
        (tmp_path / f"{name}.yaml").write_text(
            f"providers: [{{name: {other}{', uuid: ' + uuid if field == 'uuid' else ''}}}]"
        )
    with pytest.raises(InvalidTree, match=rf"b\.yaml: providers\[0\]\.{field}: .* a provider in .*a\.yaml"):
        load_documents([tmp_path / "a.yaml", tmp_path / "b.yaml"], MAX_SIZE)


class TestFiles:
    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(NODE)
        with pytest.raises(InvalidTree, match="is larger than 10 bytes") as caught:
            read_text(tmp_path / "a.yaml", 10)
        assert "[static] max_size" in caught.value.advice

    def test_text_that_is_not_utf8_is_told_with_the_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"providers:\n- name: caf\xe9\n")
        with pytest.raises(InvalidTree, match=r"a\.yaml:2: is not UTF-8"):
            read_text(tmp_path / "a.yaml", MAX_SIZE)

    def test_a_byte_order_mark_is_no_harm(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + NODE.encode())
        assert len(load_documents([tmp_path / "a.yaml"], MAX_SIZE).tree) == 2

    def test_a_directory_gives_its_documents_by_name(self, tmp_path: Path) -> None:
        for name in ("b.yml", "a.yaml", "c.json", ".hidden.yaml", "notes.txt", "a.yaml~"):
            (tmp_path / name).write_text("providers: []")
        (tmp_path / "below").mkdir()
        found = [each.path.name for each in list_files(tmp_path).signatures]
        assert found == ["a.yaml", "b.yml", "c.json"]

    def test_what_is_not_there_is_an_error_not_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DriverOptionError, match=r"\[static\] path: .*/gone does not exist"):
            list_files(tmp_path / "gone")
        with pytest.raises(DriverOptionError, match="has no documents"):
            list_files(tmp_path)
        (tmp_path / "a.yaml").symlink_to("gone.yaml")
        with pytest.raises(DriverOptionError, match=r"a\.yaml does not exist"):
            list_files(tmp_path)

    def test_what_is_no_file_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.yaml")
        with pytest.raises(HostReadError, match="is not a file"):
            list_files(tmp_path)

    def test_what_cannot_be_read(
        self, public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
    ) -> None:
        path = public_dir / "a.yaml"
        path.write_text(NODE)
        path.chmod(0)
        with unprivileged(), pytest.raises(HostReadError, match=r"cannot read .*a\.yaml: Permission denied"):
            read_text(path, MAX_SIZE)
