import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_tree.names import (
    is_custom,
    is_resource_class,
    is_standard_class,
    is_standard_trait,
    is_trait,
    normalize,
)


@pytest.mark.parametrize("name", ["CUSTOM_A", "CUSTOM__", "CUSTOM_" + "A" * 248, "COMPUTE_NODE"])
def test_traits_that_placement_takes(name):
    assert is_trait(name)


@pytest.mark.parametrize(
    "name",
    ["", "CUSTOM_", "CUSTOM_a", "CUSTOM_A\n", "CUSTOM_" + "A" * 249, "HW_CPU_X86_AVX3", "VCPU", "CUSTOM-A"],
)
def test_traits_that_placement_refuses(name):
    assert not is_trait(name)


def test_resource_classes():
    assert is_standard_class("VCPU")
    assert is_resource_class("CUSTOM_GPU")
    assert not is_resource_class("COMPUTE_NODE")
    assert not is_standard_trait("CUSTOM_A")


def test_normalize_as_nova_names_classes():
    assert normalize("gpu-a100 (80GB)") == "CUSTOM_GPU_A100_80GB_"
    assert normalize("CUSTOM_GPU") == "CUSTOM_GPU"
    with pytest.raises(ValueError, match="a character"):
        normalize("")


@given(st.text(min_size=1, max_size=200).filter(lambda text: not text.upper().startswith("CUSTOM_")))
def test_normalize_gives_what_os_resource_classes_gives(text):
    import os_resource_classes

    assert normalize(text) == os_resource_classes.normalize_name(text)
    assert is_custom(normalize(text))
