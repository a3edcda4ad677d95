"""VCPU and PCPU: which options make them, and which combinations are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DriverOptionError
from drivers.libvirt.cpu_sets import (
    CpuMap,
    CpuSettings,
    check_cpu_settings,
    choose_cpus,
    cpu_totals,
    format_cpus,
    parse_cpu_spec,
    read_cpu_set,
)

HOST = CpuMap(8, frozenset(range(6)))


def settings(pin=None, shared=None, dedicated=None, reserved=0, power=False):
    sets = [None if text is None else parse_cpu_spec(text) for text in (pin, shared, dedicated)]
    return CpuSettings(*sets, reserved, power)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", set()),
        ("3", {3}),
        ("0-2", {0, 1, 2}),
        ("0-3,^1,8", {0, 2, 3, 8}),
        ("^2-3,0-5", {0, 1, 4, 5}),
        (" 0 - 1 ,, ^ 1 ", {0}),
        ("^4", set()),
    ],
)
def test_the_syntax_of_nova(text, cpus):
    assert parse_cpu_spec(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1-a", "3-1", "^", "^^1", "1--2", "0-99999999999", "1;2"])
def test_what_is_no_cpu_set(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse_cpu_spec(text)


@given(st.frozensets(st.integers(0, 200)))
def test_a_set_that_is_written_reads_the_same(cpus):
    assert parse_cpu_spec(format_cpus(cpus).replace("none", "")) == cpus


@pytest.mark.parametrize(("text", "expected"), [(None, None), ("", None), ("1-2", {1, 2})])
def test_an_unset_option_is_no_set(text, expected):
    assert read_cpu_set(text, "[compute] cpu_shared_set") == expected


@pytest.mark.parametrize("text", ["1-2,^1-2", ",", "x"])
def test_an_option_that_cannot_be_read_is_named(text):
    with pytest.raises(DriverOptionError, match=r"^\[compute\] cpu_shared_set = "):
        read_cpu_set(text, "[compute] cpu_shared_set")


@pytest.mark.parametrize(
    ("configured", "shared", "dedicated"),
    [
        (settings(), {0, 1, 2, 3, 4, 5}, set()),
        (settings(shared="0-1"), {0, 1}, set()),
        (settings(dedicated="2-3"), set(), {2, 3}),
        (settings(shared="0-1", dedicated="2-3"), {0, 1}, {2, 3}),
        (settings(pin="4"), {4}, set()),
        (settings(pin="4", shared="0-1"), {4}, set()),
        (settings(dedicated="6-7", power=True), set(), {6, 7}),
    ],
)
def test_who_is_shared_and_who_is_dedicated(configured, shared, dedicated):
    chosen = choose_cpus(configured, HOST)
    assert (chosen.shared, chosen.dedicated) == (shared, dedicated)
    totals = cpu_totals(chosen)
    assert (totals["VCPU"].value, totals["PCPU"].value) == (len(shared), len(dedicated))


@pytest.mark.parametrize(
    ("configured", "option"),
    [
        (settings(shared="0,6"), "cpu_shared_set names CPU 6, which is not online"),
        (settings(pin="6-7"), "vcpu_pin_set names CPU 6-7, which are not online"),
        (settings(dedicated="7"), "cpu_dedicated_set names CPU 7, which is not online"),
        (settings(dedicated="7-8", power=True), "cpu_dedicated_set names CPU 8, which is not present"),
    ],
)
def test_cpus_that_are_not_there_are_refused(configured, option):
    with pytest.raises(DriverOptionError, match=option):
        choose_cpus(configured, HOST)


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        (settings(shared="0-2", dedicated="2-3"), "both name CPU 2"),
        (settings(pin="0", dedicated="1"), "vcpu_pin_set and .* are both set"),
        (settings(shared="0", reserved=1), "reserved_host_cpus cannot go with"),
        (settings(dedicated="0", reserved=1), "reserved_host_cpus cannot go with"),
    ],
)
def test_options_that_contradict_each_other_are_refused(configured, said):
    with pytest.raises(DriverOptionError, match=said):
        check_cpu_settings(configured)


@pytest.mark.parametrize(
    "configured",
    [settings(reserved=1), settings(pin="0", reserved=1), settings(pin="0", shared="1", reserved=1)],
)
def test_options_that_go_together(configured):
    check_cpu_settings(configured)
