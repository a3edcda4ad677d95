from __future__ import annotations

import contextlib
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drivers.yaml_text import MAX_DEPTH, UnsafeYaml, find_line, parse_yaml

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(string.printable, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_letters, max_size=4), inner)
    ),
    max_leaves=12,
)


@given(values)
def test_plain_data_reads_as_it_was_written(value: object) -> None:
    assert parse_yaml(yaml.safe_dump(value)) == value


@given(st.text(max_size=60))
def test_any_text_is_data_or_an_error_that_is_expected(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError, UnsafeYaml):
        parse_yaml(text)


class TestAliases:
    def test_repeat_what_they_name(self) -> None:
        assert parse_yaml("a: &x {total: 4}\nb: *x\nc: [*x]\n") == {
            "a": {"total": 4},
            "b": {"total": 4},
            "c": [{"total": 4}],
        }

    def test_a_thousand_uses_of_one_inventory_are_fine(self) -> None:
        text = "base: &x {VCPU: {total: 4}, MEMORY_MB: {total: 8}}\nall:\n" + "- *x\n" * 1000
        assert len(parse_yaml(text)["all"]) == 1000

    @pytest.mark.parametrize("kind", ["list", "merge"])
    def test_a_few_lines_that_stand_for_billions_are_refused(self, kind: str) -> None:
        lines = ["a0: &a0 {x: 1}" if kind == "merge" else "a0: &a0 [x, x, x]"]
        for level in range(1, 12):
            names = ", ".join([f"*a{level - 1}"] * 10)
            lines.append(
                f"a{level}: &a{level} " + (f"{{<<: [{names}]}}" if kind == "merge" else f"[{names}]")
            )
        with pytest.raises(UnsafeYaml, match="its aliases stand for") as caught:
            parse_yaml("\n".join(lines))
        assert 2 <= caught.value.line <= len(lines)

    def test_many_uses_of_something_large_are_refused(self) -> None:
        text = "big: &x [" + "1," * 10_000 + "]\nall:\n" + "- *x\n" * 10_000
        with pytest.raises(UnsafeYaml):
            parse_yaml(text)

    def test_an_alias_inside_what_it_names_is_refused(self) -> None:
        with pytest.raises(UnsafeYaml, match=r"the alias \*x stands inside what it names") as caught:
            parse_yaml("a: 1\nb: &x\n  - *x\n")
        assert caught.value.line == 3


class TestMerge:
    def test_a_mapping_is_taken_over_and_own_keys_count_more(self) -> None:
        text = (
            "b: &b {total: 4, reserved: 1}\no: &o {total: 9, step_size: 2}\nc: {<<: [*b, *o], reserved: 0}\n"
        )
        assert parse_yaml(text)["c"] == {"total": 4, "reserved": 0, "step_size": 2}

    def test_what_is_named_further_down_a_nest_is_complete(self) -> None:
        text = "a: [[[{k: &b {x: 1, y: {z: 2}}}]]]\nc: {<<: *b}\n"
        assert parse_yaml(text)["c"] == {"x": 1, "y": {"z": 2}}

    def test_only_mappings(self) -> None:
        with pytest.raises(yaml.YAMLError, match="<< needs a mapping"):
            parse_yaml("a: {<<: 5}\n")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 5000, "? " * 5000])
def test_deep_nests_are_refused_before_they_reach_the_c_stack(text: str) -> None:
    with pytest.raises(UnsafeYaml, match=f"nested more than {MAX_DEPTH} levels deep"):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' stands twice"),
        ("a: {x: 1, x: 1}", "the key 'x' stands twice"),
        ("? [a, b]\n: 1", "a key must be text"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: !secret x", "could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
        ("a: *nothing", "found undefined alias"),
        ("a: [1, 2", "expected"),
        ("a: !!int ''", "a value is not what its tag"),
        ("a: !!bool maybe", "a value is not what its tag"),
        ("a: !!timestamp soon", "a value is not what its tag"),
        ("a: 2026-13-41", "a value is not what its tag"),
        ("a: \x01", "control characters are not allowed"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    with pytest.raises(yaml.YAMLError, match=problem):
        parse_yaml(text)


def test_nothing_is_nothing() -> None:
    assert parse_yaml("") is None
    assert parse_yaml("# a comment\n") is None


TEXT = """\
format_version: 1
providers:
  - name: a
  - name: b
    inventory:
      VCPU: {total: 4}
      PCPU:
        total: 0
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["providers", 1, "inventory", "PCPU", "total"], 8),
        (["providers", 1, "inventory", "PCPU", "reserved"], 7),
        (["providers", 1], 4),
        (["providers", 7], 2),
        (["format_version"], 1),
        (["nothing"], None),
        ([], None),
    ],
)
def test_the_line_of_the_innermost_part_that_is_there(path: list[str | int], line: int | None) -> None:
    assert find_line(TEXT, path) == line


def test_no_line_of_what_cannot_be_read() -> None:
    assert find_line("[" * 100_000, [0]) is None
    assert find_line("a: [", ["a"]) is None
