"""Provider files over a tree: who gets what, what is refused, and what happens when a file changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from oslo_config import cfg

from provider_tree import ProviderTree
from provider_tree.source import Source
from reporter.errors import ConfigurationError
from reporter.overlays import OPTIONS, load_overlays
from reporter.overlays.provider_config import ProviderConfigOverlay
from reporter.overlays.provider_config.document import parse_file

ROOT = "11111111-1111-4111-8111-111111111111"
CHILD = "22222222-2222-4222-8222-222222222222"
AGENT = "33333333-3333-4333-8333-33333333abcd"

Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write provider files, name → the entries under ``providers:``; each call makes them newer."""
    directory = tmp_path / "provider_config"
    directory.mkdir()
    clock = iter(range(1_700_000_000, 1_700_001_000))

    def write(**texts: str | None) -> Path:
        for name, text in texts.items():
            path = directory / f"{name}.yaml"
            if text is None:
                path.unlink()
                continue
            path.write_text("meta: {schema_version: '1.0'}\nproviders:\n" + text)
            moment = next(clock)
            os.utime(path, (moment, moment))
        return directory

    return write


def _lines_of_aliases(first: str, each: str) -> str:
    """Ten lines, each naming the one before it ten times."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 10):
        names = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} " + each.replace("NAMES", names))
    return "\n".join(lines) + "\n"


BILLIONS = _lines_of_aliases("[x, x]", "[NAMES]")
MERGED_BILLIONS = _lines_of_aliases("{x: 1}", "{<<: [NAMES]}")


def overlay_on(directory: Path) -> ProviderConfigOverlay:
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTIONS["compute"], group="compute")
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("provider_config_location", str(directory), group="compute")
    (overlay,) = load_overlays(conf)
    return overlay


def host() -> ProviderTree:
    """A compute node with a child of its own, and one of another agent's that has a class of its own."""
    tree = ProviderTree()
    tree.new_root("node", ROOT)
    tree.update_inventory("node", {"VCPU": {"total": 8}})
    tree.update_traits("node", ["COMPUTE_NODE", "OWNER_NOVA", "CUSTOM_MINE"])
    tree.new_child("node_gpu", "node", uuid=CHILD)
    tree.update_inventory("node_gpu", {"VGPU": {"total": 4}, "CUSTOM_DRIVERS": {"total": 1}})
    tree.new_child("node:agent", "node", uuid=AGENT)
    tree.update_inventory("node:agent", {"CUSTOM_AGENTS": {"total": 7}})
    tree.update_traits("node:agent", ["CUSTOM_VNIC_TYPE_NORMAL"])
    return tree


def entry(identification: str, inventories: str = "", traits: str = "") -> str:
    lines = [f"  - identification: {{{identification}}}"]
    lines += [f"    inventories: {{additional: [{inventories}]}}"] if inventories else []
    lines += [f"    traits: {{additional: [{traits}]}}"] if traits else []
    return "\n".join(lines) + "\n"


def added(directory: Path, tree: ProviderTree | None = None) -> tuple[ProviderTree, list[str]]:
    tree = tree if tree is not None else host()
    return tree, overlay_on(directory).apply(tree, "node")


class TestWhoGetsWhat:
    @pytest.mark.parametrize(
        ("identification", "provider"),
        [
            ("uuid: $COMPUTE_NODE", "node"),
            ("name: node", "node"),
            (f"uuid: {ROOT}", "node"),
            ("name: node_gpu", "node_gpu"),
            (f"uuid: {AGENT}", "node:agent"),
            (f"uuid: {AGENT.upper()}", "node:agent"),
            ("name: 'node:agent'", "node:agent"),
        ],
    )
    def test_by_name_by_uuid_and_by_being_the_node(
        self, files: Files, identification: str, provider: str
    ) -> None:
        text = entry(identification, "{CUSTOM_LICENSE: {total: 10, reserved: 2}}", "CUSTOM_RACK_A7")
        before = host().provider(provider)
        tree, warnings = added(files(a=text))
        after = tree.provider(provider)
        assert after.inventory["CUSTOM_LICENSE"] == {
            "total": 10, "reserved": 2, "min_unit": 1, "max_unit": 2147483647, "step_size": 1,
            "allocation_ratio": 1.0,
        }  # fmt: skip
        assert after.inventory.keys() - before.inventory.keys() == {"CUSTOM_LICENSE"}
        assert before.inventory.items() <= after.inventory.items()
        assert after.traits - before.traits == {"CUSTOM_RACK_A7"}
        assert warnings == []
        for other in {"node", "node_gpu", "node:agent"} - {provider}:
            assert tree.provider(other) == host().provider(other)

    def test_a_provider_that_is_named_gets_nothing_as_compute_node(self, files: Files) -> None:
        text = entry("uuid: $COMPUTE_NODE", traits="CUSTOM_ANY")
        for identification in ("name: node", f"uuid: {ROOT}"):
            tree, _ = added(files(a=text, b=entry(identification, traits="CUSTOM_THIS")))
            assert "CUSTOM_THIS" in tree.provider("node").traits
            assert "CUSTOM_ANY" not in tree.provider("node").traits

    def test_roots_that_are_no_compute_nodes_get_nothing(self, files: Files) -> None:
        tree = host()
        tree.remove_traits("node", "COMPUTE_NODE")
        added(files(a=entry("uuid: $COMPUTE_NODE", traits="CUSTOM_ANY")), tree)
        assert "CUSTOM_ANY" not in tree.provider("node").traits

    def test_all_files_count(self, files: Files) -> None:
        directory = files(
            a=entry("name: node", traits="CUSTOM_A"), b=entry("name: node_gpu", traits="CUSTOM_B")
        )
        (directory / ".hidden.yaml").write_text("not: used")
        (directory / "notes.txt").write_text("not: used")
        tree, _ = added(directory)
        assert tree.has_traits("node", ["CUSTOM_A"])
        assert tree.has_traits("node_gpu", ["CUSTOM_B"])

    def test_where_it_came_from_is_known(self, files: Files) -> None:
        directory = files(a=entry("name: node", "{CUSTOM_LICENSE: {total: 10}}", "CUSTOM_RACK_A7"))
        tree, _ = added(directory)
        notes = tree.notes("node")
        assert isinstance(notes["CUSTOM_LICENSE"], Source)
        assert notes["CUSTOM_LICENSE"].detail == str(directory / "a.yaml")
        assert notes["traits.CUSTOM_RACK_A7"].kind == "document"

    def test_a_trait_that_the_provider_has_is_no_conflict(self, files: Files) -> None:
        tree, _ = added(files(a=entry("name: node", traits="CUSTOM_MINE")))
        assert tree.provider("node") == host().provider("node") or tree.has_traits("node", ["CUSTOM_MINE"])


class TestWarnings:
    def test_unknown_provider_is_told_once_until_it_was_there(self, files: Files) -> None:
        directory = files(a=entry("name: gone", traits="CUSTOM_A"))
        overlay = overlay_on(directory)
        (warning,) = overlay.apply(host(), "node")
        assert warning == f"{directory / 'a.yaml'}: the tree of node has no provider gone: ignored there"
        assert overlay.apply(host(), "node") == []
        tree = host()
        tree.new_child("gone", "node")
        assert overlay.apply(tree, "node") == []
        assert len(overlay.apply(host(), "node")) == 1

    def test_provider_of_another_node_is_told_of_nowhere_else(self, files: Files) -> None:
        overlay = overlay_on(files(a=entry("name: node_gpu", traits="CUSTOM_A")))
        assert overlay.apply(host(), "node") == []
        other = ProviderTree()
        other.new_root("other", "44444444-4444-4444-8444-444444444444")
        assert overlay.apply(other, "other") == []

    def test_provider_that_gets_nothing(self, files: Files) -> None:
        _, warnings = added(files(a=entry("name: node")))
        assert "gets no inventories or traits" in warnings[0]

    def test_newer_minor_version(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(
            "meta: {schema_version: '1.9'}\nproviders:\n" + entry("name: node", traits="CUSTOM_A")
        )
        tree, warnings = added(tmp_path)
        assert tree.has_traits("node", ["CUSTOM_A"])
        assert "schema 1.9" in warnings[0]


class TestRefusals:
    def refusal(self, directory: Path, tree: ProviderTree | None = None) -> ConfigurationError:
        tree = tree if tree is not None else host()
        before = tree.copy()
        with pytest.raises(ConfigurationError) as caught:
            overlay_on(directory).apply(tree, "node")
        assert list(tree.providers()) == list(before.providers()), "nothing is written halfway"
        assert "\n" not in caught.value.what
        return caught.value

    def test_class_of_the_driver(self, files: Files) -> None:
        text = entry("name: node", traits="CUSTOM_A") + entry(
            "name: node_gpu", "{CUSTOM_DRIVERS: {total: 2}}"
        )
        error = self.refusal(files(a=text))
        assert "provider node_gpu has CUSTOM_DRIVERS already" in error.what

    @pytest.mark.parametrize(
        ("inventories", "traits", "name"),
        [
            ("{VCPU: {total: 1}}", "", "VCPU"),
            ("", "HW_CPU_X86_AVX2", "HW_CPU_X86_AVX2"),
            ("", "MINE", "MINE"),
        ],
    )
    def test_what_is_not_custom(self, files: Files, inventories: str, traits: str, name: str) -> None:
        error = self.refusal(files(a=entry("name: node", inventories, traits)))
        assert f"{name} is not custom" in error.what
        assert "CUSTOM_" in error.advice

    def test_one_provider_by_name_and_by_uuid(self, files: Files) -> None:
        text = entry("name: node", traits="CUSTOM_A") + entry(f"uuid: {ROOT}", traits="CUSTOM_B")
        assert "node" in self.refusal(files(a=text)).what

    def test_one_provider_twice(self, files: Files) -> None:
        directory = files(a=entry("name: node", traits="CUSTOM_A"), b=entry("name: node", traits="CUSTOM_B"))
        error = self.refusal(directory)
        assert str(directory / "a.yaml") in error.what
        assert str(directory / "b.yaml") in error.what

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "which schema"),
            ("[]", "which schema"),
            ("providers: []", "which schema"),
            ("meta: {schema_version: 1.0}", "which schema"),
            ("meta: {schema_version: latest}", "which schema"),
            ("meta: {schema_version: '2.0'}", "schema 2.0"),
            ("meta: {schema_version: '1.0'}\nproviders: {}", "providers: "),
            ("meta: {schema_version: '1.0'}\nproviders: [{}]", "providers[0]: "),
            ("meta: [", "not YAML"),
            ("meta: !!python/object/apply:os.system ['true']", "not YAML"),
            ("a: 2001-99-99", "not YAML"),
            (
                "meta: {schema_version: '1.0'}\nproviders: " + "[" * 100_000,
                "line 2: nested more than 64 levels",
            ),
            ("\n".join(" " * depth + "a:" for depth in range(1000)), "nested more than 64 levels"),
            ("meta: &m {schema_version: '1.0'}\nproviders: &p [*p]", "*p stands inside"),
            (BILLIONS + "meta: {schema_version: '1.0'}\nproviders: *a9\n", "its aliases stand for"),
            (MERGED_BILLIONS + "meta: {schema_version: '1.0'}\n", "its aliases stand for"),
            ("meta: {schema_version: '1.0'}\n__source_file: x", "__source_file"),
            (
                "meta: {schema_version: '1.0'}\nproviders: [{identification: {uuid: \"$COMPUTE_NODE\\n\"}}]",
                "providers[0].identification.uuid",
            ),
        ],
    )
    def test_what_nova_refuses(self, tmp_path: Path, text: str, expected: str) -> None:
        (tmp_path / "a.yaml").write_text(text)
        error = self.refusal(tmp_path)
        assert str(tmp_path / "a.yaml") in error.what
        assert expected in error.what

    def test_says_where_in_the_file(self, files: Files) -> None:
        error = self.refusal(files(a=entry("name: node", "{CUSTOM_A: {total: many}}")))
        assert "providers[0].inventories.additional[0].CUSTOM_A.total: 'many' is not of type" in error.what

    @pytest.mark.parametrize("nothing", ["[]", "''"])
    def test_entry_that_names_no_class_may_be_of_any_kind(self, tmp_path: Path, nothing: str) -> None:
        path = tmp_path / "a.yaml"
        path.write_text(
            "meta: {schema_version: '1.0'}\nproviders: [{identification: {name: node}, "
            f"inventories: {{additional: [{nothing}, {{CUSTOM_A: {{total: 1}}}}]}}}}]\n"
        )
        (config,), _ = parse_file(path, path.read_text())
        assert list(config.inventory) == ["CUSTOM_A"]
        path.write_text(path.read_text().replace(nothing, "[CUSTOM_B]"))
        assert "providers[0].inventories.additional[0]: " in self.refusal(tmp_path).what

    @pytest.mark.parametrize("name", ["5", "yes", "null"])
    def test_class_whose_name_is_no_text(self, files: Files, name: str) -> None:
        error = self.refusal(files(a=entry("name: node", f"{{{name}: {{total: 1}}}}")))
        assert "a resource class has a name that is no text" in error.what
        assert "in quotes" in error.advice

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
        assert "is not UTF-8" in self.refusal(tmp_path).what

    def test_pipe_that_nobody_writes_into(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.yaml")
        assert "is not a file" in self.refusal(tmp_path).what

    def test_file_without_an_end(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").symlink_to("/dev/zero")
        assert "is not a file" in self.refusal(tmp_path).what

    def test_too_large(self, tmp_path: Path) -> None:
        with (tmp_path / "a.yaml").open("wb") as file:
            file.truncate(64 * 1024 * 1024 + 1)
        assert "larger than 67,108,864 bytes" in self.refusal(tmp_path).what

    def test_quotes_little_of_what_is_wrong(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(
            "meta: {schema_version: '1.0'}\nproviders: [" + "x, " * 10_000 + "x]"
        )
        assert len(self.refusal(tmp_path).what) < 1000
        (tmp_path / "a.yaml").write_text("meta: {schema_version: '1.0'}\nproviders: ['" + "x" * 10_000 + "']")
        assert len(self.refusal(tmp_path).what) < 1000

    def test_unreadable(
        self, public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
    ) -> None:
        (public_dir / "a.yaml").touch(0)
        with unprivileged():
            assert "cannot be read: Permission denied" in self.refusal(public_dir).what
        public_dir.chmod(0)
        with unprivileged():
            assert "cannot be listed: Permission denied" in self.refusal(public_dir).what


def test_no_directory_is_nothing_to_do(tmp_path: Path) -> None:
    tree, warnings = added(tmp_path / "absent")
    assert list(tree.providers()) == list(host().providers())
    assert warnings == []


def test_a_pattern_stands_for_the_directories_that_it_matches(files: Files) -> None:
    path = files(a=entry("uuid: $COMPUTE_NODE", "{CUSTOM_A: {total: 2}}"))
    hidden = path.parent / "[x]"
    hidden.mkdir()
    (hidden / "b.yaml").write_text("no provider file")
    tree, _ = added(path.parent / "provider_*")
    assert "CUSTOM_A" in tree.provider("node").inventory
    tree, _ = added(hidden)
    assert "CUSTOM_A" not in tree.provider("node").inventory, "[x] matches a directory called x"


def test_a_file_for_the_directory_is_told_and_nothing_is_read(files: Files) -> None:
    path = files(a=entry("name: node", traits="CUSTOM_A")) / "a.yaml"
    tree, warnings = added(path)
    assert list(tree.providers()) == list(host().providers())
    assert warnings == [
        f"[compute] provider_config_location = {path} is a file: name its directory; nothing is read"
    ]


class TestChanges:
    def test_are_read_again(self, files: Files) -> None:
        overlay = overlay_on(files())
        for text, traits in (
            (entry("name: node", traits="CUSTOM_A"), {"CUSTOM_A"}),
            (entry("name: node", traits="CUSTOM_B"), {"CUSTOM_B"}),
            (None, set()),
        ):
            files(a=text)
            tree = host()
            overlay.apply(tree, "node")
            assert tree.provider("node").traits - host().provider("node").traits == traits

    @pytest.mark.parametrize(
        "bad",
        [
            "  - nonsense\n",
            entry("name: node_gpu", "{CUSTOM_DRIVERS: {total: 2}}"),
            entry("name: node", traits="CUSTOM_B") + entry(f"uuid: {ROOT}", traits="CUSTOM_C"),
        ],
    )
    def test_bad_new_version_leaves_the_last_good_one_at_work(self, files: Files, bad: str) -> None:
        overlay = overlay_on(files(a=entry("name: node", traits="CUSTOM_A")))
        overlay.apply(host(), "node")
        files(a=bad)
        for _ in range(2):
            tree = host()
            overlay.prepare(tree, "node")
            # What the driver does in each cycle.
            tree.update_inventory("node_gpu", host().provider("node_gpu").inventory)
            warnings = overlay.apply(tree, "node")
            assert "CUSTOM_A" in tree.provider("node").traits
            assert any("the last good version stays at work" in warning for warning in warnings)
        files(a=entry("name: node", traits="CUSTOM_D"))
        tree = host()
        assert overlay.apply(tree, "node") == []
        assert tree.has_traits("node", ["CUSTOM_D"])

    def test_directory_that_can_no_longer_be_reached(
        self, public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
    ) -> None:
        directory = public_dir / "nova" / "provider_config"
        directory.mkdir(parents=True)
        text = entry("name: node", traits="CUSTOM_A")
        (directory / "a.yaml").write_text(f"meta: {{schema_version: '1.0'}}\nproviders:\n{text}")
        overlay = overlay_on(directory)
        overlay.apply(host(), "node")
        directory.parent.chmod(0)
        tree = host()
        with unprivileged():
            (warning,) = overlay.apply(tree, "node")
        assert "Permission denied" in warning
        assert "CUSTOM_A" in tree.provider("node").traits


class TestEveryCycle:
    def test_custom_class_on_a_provider_that_the_driver_does_not_write(self, files: Files) -> None:
        overlay = overlay_on(files(a=entry("name: 'node:agent'", "{CUSTOM_LICENSE: {total: 10}}")))
        tree = host()
        for _ in range(3):
            overlay.prepare(tree, "node")
            assert overlay.apply(tree, "node") == []
            assert set(tree.provider("node:agent").inventory) == {"CUSTOM_AGENTS", "CUSTOM_LICENSE"}

    def test_driver_that_adds_to_what_it_finds(self, files: Files) -> None:
        overlay = overlay_on(files(a=entry("uuid: $COMPUTE_NODE", "{CUSTOM_LICENSE: {total: 10}}")))
        tree = host()
        for _ in range(3):
            tree.remove_traits("node", "COMPUTE_NODE")
            overlay.prepare(tree, "node")
            tree.add_traits("node", "COMPUTE_NODE")
            assert overlay.apply(tree, "node") == []
            assert set(tree.provider("node").inventory) == {"VCPU", "CUSTOM_LICENSE"}


def test_example_is_a_provider_file() -> None:
    path = Path(__file__).parents[3] / "etc" / "provider.example.yaml"
    configs, warnings = parse_file(path, path.read_text())
    assert [config.key for config in configs] == ["$COMPUTE_NODE", "compute-1_pci_0000_84_00_0"]
    assert warnings == []
