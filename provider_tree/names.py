"""The names of traits and of resource classes: which Placement takes, and which everybody knows.

What is standard is what the installed os-traits and os-resource-classes say.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

CUSTOM: Final = "CUSTOM_"
MAX_LENGTH: Final = 255
_WELL_FORMED: Final = re.compile(r"[A-Z0-9_]+")


def is_well_formed(name: str) -> bool:
    """Whether a name has only the characters, and no more of them, than Placement takes."""
    return len(name) <= MAX_LENGTH and _WELL_FORMED.fullmatch(name) is not None


def is_custom(name: str) -> bool:
    """Whether a name is one that anybody may make up."""
    return name.startswith(CUSTOM) and name != CUSTOM and is_well_formed(name)


def is_trait(name: str) -> bool:
    """Whether Placement would take this trait: a standard one or a custom one."""
    return is_custom(name) or is_standard_trait(name)


def is_resource_class(name: str) -> bool:
    """Whether Placement would take this resource class: a standard one or a custom one."""
    return is_custom(name) or is_standard_class(name)


def is_standard_trait(name: str) -> bool:
    """Whether os-traits has this trait."""
    return name in standard_traits()


def is_standard_class(name: str) -> bool:
    """Whether os-resource-classes has this class."""
    return name in standard_classes()


@cache
def standard_traits() -> frozenset[str]:
    """The traits that os-traits has."""
    import os_traits  # noqa: PLC0415  # takes longer than the rest of this package together

    return frozenset(os_traits.get_traits())


@cache
def standard_classes() -> frozenset[str]:
    """The resource classes that os-resource-classes has."""
    import os_resource_classes  # noqa: PLC0415  # as above

    return frozenset(os_resource_classes.STANDARDS)


def normalize(text: str) -> str:
    """A custom name made of any text, as os-resource-classes makes it: "gpu-a100" gives CUSTOM_GPU_A100.

    A name that has the prefix already keeps it once.

    :raises ValueError: if the text is empty
    """
    if not text:
        raise ValueError("a custom name needs a character at least")
    name = re.sub("[^0-9A-Za-z]+", "_", text).upper()
    return name if is_custom(name) else CUSTOM + name
