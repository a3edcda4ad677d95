"""[pci] device_spec: what is accepted, what is refused and how it is said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DriverOptionError
from drivers.libvirt.pci.address import PciAddress, parse_address
from drivers.libvirt.pci.spec import parse_device_specs

DEVICE = PciAddress("0000", "0a", "00", "1")


def parse(*values, report=True):
    return parse_device_specs(values, report)


def one(**spec):
    (parsed,) = parse(json.dumps(spec))
    return parsed


@pytest.mark.parametrize(
    "address",
    [
        "0000:0a:00.1",
        "*:0a:00.*",
        ":0a:00.",
        ":0a:00.1",
        "*:*:*.*",
        "*:*:*.1",
        ".1",
        "0a:00",
        "0A:00.1",
        "a:0.1",
        " 0a : 00 . 1 ",
        "",
        None,
        {},
        {"bus": "0a"},
        {"domain": ".*", "bus": "0a", "slot": "00", "function": "[0-7]"},
        {"bus": "0"},
        {"function": ""},
        {"nonsense": "key"},
    ],
)
def test_addresses_that_match(address):
    assert parse_address(address).matches(DEVICE)


@pytest.mark.parametrize(
    "address",
    [
        "0000:0b:00.1",
        "0001:0a:00.1",
        "0000:0a:00.0",
        "*:0a:01.*",
        "-1:0a:00.1",
        {"bus": "0b"},
        {"bus": "a"},
        {"slot": "000"},
    ],
)
def test_addresses_that_match_something_else(address):
    assert not parse_address(address).matches(DEVICE)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("", "not JSON"),
        ("{vendor_id: 8086}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"8086"', "neither a JSON object nor a list"),
        ("5", "neither a JSON object nor a list"),
        ("null", "neither a JSON object nor a list"),
        ('[{"vendor_id": "8086"}, "8086"]', "is no object"),
        ('{"vendor_id": "80860"}', "vendor_id '80860' is above the highest possible value FFFF"),
        ('{"vendor_id": "intel"}', "vendor_id 'intel' is not a hexadecimal number"),
        ('{"vendor_id": 8086}', "vendor_id 8086 must be text"),
        ('{"vendor_id": null}', "vendor_id None must be text"),
        ('{"vendor_id": ""}', "vendor_id '' is not a hexadecimal number"),
        ('{"product_id": "1ffff"}', "product_id"),
        ('{"product_id": 1520}', "product_id 1520 must be text"),
        ('{"product_id": " *"}', "product_id"),
        ('{"address": "0000:0a:00.1", "devname": "eth0"}', "both devname and address"),
        ('{"address": "0:0:0:0.1"}', "more fields than domain:bus:slot.function"),
        ('{"address": "10000:0a:00.1"}', "domain '10000' is above the highest possible value FFFF"),
        ('{"address": "0000:100:00.1"}', "bus '100' is above the highest possible value FF"),
        ('{"address": "0000:0a:20.1"}', "slot '20' is above the highest possible value 1F"),
        ('{"address": "0000:0a:00.8"}', "function '8' is above the highest possible value 7"),
        ('{"address": "0000:0a:00.x"}', "function 'x' is not a hexadecimal number"),
        ('{"address": "0000:0a:00. "}', "function '' is not a hexadecimal number"),
        ('{"address": ["0000:0a:00.1"]}', "neither a PCI address nor an object of regular expressions"),
        ('{"address": 5}', "neither a PCI address nor an object of regular expressions"),
        ('{"address": {"bus": "["}}', "bus of address is not a regular expression"),
        ('{"address": {"bus": 10}}', "bus of address must be a regular expression in quotes"),
        ('{"address": {"slot": null}}', "slot of address must be a regular expression in quotes"),
        ('{"managed": "maybe"}', "managed 'maybe' is neither yes nor no"),
        ('{"managed": ""}', "managed '' is neither yes nor no"),
        ('{"live_migratable": "2"}', "live_migratable '2' is neither yes nor no"),
        ('{"one_time_use": "once"}', "one_time_use 'once' is neither yes nor no"),
    ],
)
def test_refusals_name_option_and_reason(entry, reason):
    with pytest.raises(DriverOptionError) as caught:
        parse('{"vendor_id": "1af4"}', entry)
    assert caught.value.what.startswith("[pci] device_spec: ")
    assert reason in caught.value.what
    assert caught.value.advice


def test_a_refusal_shows_the_entry():
    with pytest.raises(DriverOptionError, match=r'\{"vendor_id": "x", "product_id": "10ed"\}'):
        parse('[{"vendor_id": "8086"}, {"vendor_id": "x", "product_id": "10ed"}]')


def test_devices_for_one_use_need_placement():
    entry = '{"one_time_use": "yes"}'
    with pytest.raises(DriverOptionError, match="only possible while devices are reported") as caught:
        parse(entry, report=False)
    assert "report_in_placement = true" in caught.value.advice
    assert parse(entry, report=True)[0].one_time_use
    assert not parse('{"one_time_use": "no"}', report=False)[0].one_time_use


def test_lists_and_repeated_options_add_up_in_order():
    specs = parse('[{"vendor_id": "1"}, {"vendor_id": "2"}]', '{"vendor_id": "3"}', "[]")
    assert [spec.vendor_id for spec in specs] == ["0001", "0002", "0003"]


def test_ids_are_told_as_the_kernel_writes_them():
    spec = one(vendor_id=" 0x10DE ", product_id="25B6")
    assert (spec.vendor_id, spec.product_id) == ("10de", "25b6")


@pytest.mark.parametrize("yes", ["1", "t", "TRUE", "on", "Y", "yes ", True, 1])
def test_words_for_yes(yes):
    spec = one(managed=yes, live_migratable=yes, one_time_use=yes, remote_managed=yes)
    assert spec.tags["managed"] == "true"
    assert spec.live_migratable
    assert spec.one_time_use
    assert spec.remote_managed


@pytest.mark.parametrize("no", ["0", "f", "False", "OFF", "n", "no", False, 0])
def test_words_for_no(no):
    spec = one(managed=no, live_migratable=no, one_time_use=no, remote_managed=no)
    assert spec.tags["managed"] == "false"
    assert (spec.live_migratable, spec.one_time_use, spec.remote_managed) == (False, False, False)


def test_what_is_neither_yes_nor_no_is_no_for_remote_managed_alone():
    assert not one(remote_managed="perhaps").remote_managed


@pytest.mark.parametrize(("value", "neutrons"), [("physnet1", True), (None, False), ("", False)])
def test_devices_on_a_physical_network_are_neutrons(value, neutrons):
    assert one(physical_network=value).physical_network is neutrons


FIELD = st.from_regex(r"[0-9a-f]{1,2}|\*", fullmatch=True)


@given(
    bus=FIELD,
    slot=FIELD,
    function=st.sampled_from([*"01234567", "*"]),
    text=st.text("0123456789abcdef:.*", max_size=14),
)
def test_wildcards_accept_or_refuse_but_never_break(bus, slot, function, text):
    for address in (f"0000:{bus}:{slot}.{function}", text):
        try:
            (spec,) = parse(json.dumps({"address": address}))
        except DriverOptionError as error:
            assert error.advice  # noqa: PT017 - either outcome is right
        else:
            assert spec.pattern.matches(DEVICE) in {True, False}
