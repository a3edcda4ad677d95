from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.cpu_list import format_cpu_list, parse_cpu_list, parse_cpu_map

cpus = st.frozensets(st.integers(0, 700))


@given(cpus)
def test_a_list_reads_back_as_the_cpus_it_was_made_of(given_cpus: frozenset[int]) -> None:
    assert parse_cpu_list(format_cpu_list(given_cpus)) == given_cpus


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([5], "5"), ([0, 1, 2, 3], "0-3"), ([8, 0, 1, 3], "0-1,3,8")]
)
def test_a_list_is_as_short_as_can_be(numbers: list[int], text: str) -> None:
    assert format_cpu_list(numbers) == text


@given(cpus, st.sampled_from(["", "\n", " \n", "\0\0\0", "\n\0\0"]))
def test_space_and_padding_around_a_list_do_not_count(given_cpus: frozenset[int], padding: str) -> None:
    assert parse_cpu_list(format_cpu_list(given_cpus) + padding) == given_cpus


@given(cpus)
def test_a_map_has_a_bit_for_each_cpu_in_words_of_32_bits(given_cpus: frozenset[int]) -> None:
    bits = sum(1 << cpu for cpu in given_cpus)
    words = [f"{bits >> shift & 0xFFFFFFFF:08x}" for shift in range(0, max(bits.bit_length(), 1), 32)]
    assert parse_cpu_map(",".join(reversed(words))) == given_cpus


@given(st.text(max_size=12))
def test_any_text_is_a_set_of_cpus_or_a_value_error(text: str) -> None:
    for parse in (parse_cpu_list, parse_cpu_map):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert all(cpu >= 0 for cpu in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("0", {0}),
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("0-15,88-90", {*range(16), 88, 89, 90}),
        ("0-7:2/4", {0, 1, 4, 5}),
    ],
)
def test_lists_of_the_kernel(text: str, expected: set[int]) -> None:
    assert parse_cpu_list(text) == expected


@pytest.mark.parametrize(
    "text", ["a", "3-1", "1-", "-1", "1;2", "0-9999999999", "0-3:0/2", "0-3:3/2", "0x3", "٣"]
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_cpu_list(text)


@pytest.mark.parametrize("text", ["", "xyz", "000000001", "1,,2", "0x1"])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not hexadecimal"):
        parse_cpu_map(text)
