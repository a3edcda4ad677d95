"""What is wrong in a configuration: values that an option does not take, and options that nobody reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_config import cfg, types

from reporter.errors import ConfigurationError
from reporter.options.configuration import Configuration
from reporter.options.definitions import OWN_GROUPS

#: How much of a value is repeated in a message.
_LONGEST_VALUE = 60


def check_values(conf: Configuration) -> None:
    """Convert every option that is registered; oslo.config would do it when each is first used.

    Left out are those that the driver reads, and then checks, only where it uses them. oslo.config takes an
    empty text for a number, and makes None of it.

    :raises ConfigurationError: a value is none that its option takes
    """
    for group, name in conf.registered():
        if (group or "DEFAULT", name) in conf.read_where_used:
            continue
        try:
            value = conf[name] if group is None else conf[group][name]
            _check_there(value, conf.option(name, group))
        except (cfg.Error, ValueError) as error:
            raise wrong_value(conf, group, name, error) from error


def _check_there(value: Any, option: cfg.Opt) -> None:
    if value is None and isinstance(option.default, int | float):
        raise ValueError("there is no number")


def wrong_value(conf: Configuration, group: str | None, name: str, error: Exception) -> ConfigurationError:
    """The error for a value that cannot be converted; the values of secret options stay out of it."""
    option = conf.option(name, group)
    written = conf.written(name, group)
    label = f"[{group or 'DEFAULT'}] {name}"
    if written is None:
        return ConfigurationError(f"the default of {label} cannot be used: {error}", f"set {label}")
    if isinstance(error, cfg.NoSuchOptError | cfg.NoSuchGroupError | cfg.TemplateSubstitutionError):
        # The name after the $ is a part of the value, which may be a password.
        reason, advice = "a $ in it names no option", "write $$ for a dollar sign"
    else:
        reason, advice = "", f"{name} takes {describe_type(option.type)}"
    value = "" if option.secret else f" = {_shortened(written.text)}".rstrip()
    tail = f" ({reason})" if reason else ""
    return ConfigurationError(f"{written.where}: {label}{value} is not valid{tail}", advice)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"


def describe_type(kind: Any) -> str:
    """What an option takes, in words that stand after "takes"."""
    choices = getattr(kind, "choices", None)
    if choices:
        return "one of " + ", ".join(str(choice) for choice in choices)
    if isinstance(kind, types.List):
        return f"values separated by commas, each {describe_type(kind.item_type)}"
    if isinstance(kind, types.Boolean):
        return "true or false"
    if isinstance(kind, types.Number):
        noun = "a whole number" if isinstance(kind, types.Integer) else "a number"
        return noun + _bounds(kind.min, kind.max)
    if getattr(kind, "regex", None) is not None:
        return f"a text that matches {kind.regex.pattern}"
    names = {
        types.HostDomain: "a host name or an IP address",
        types.HostAddress: "a host name or an IP address",
        types.IPAddress: "an IP address",
        types.Port: "a port number",
        types.URI: "a URI",
        types.Dict: "pairs of key:value, separated by commas",
    }
    return next((name for known, name in names.items() if isinstance(kind, known)), "a text")


def _bounds(lowest: float | None, highest: float | None) -> str:
    if lowest is not None and highest is not None:
        return f" from {lowest:g} to {highest:g}"
    if lowest is not None:
        return f", at least {lowest:g}"
    return f", at most {highest:g}" if highest is not None else ""


def unknown_names(
    conf: Configuration, known: Mapping[str, Iterable[str]]
) -> list[tuple[str, str, str | None]]:
    """What the files have in our own groups and we do not know: (file, group, option).

    The option is None for a group whose own name is almost one of ours.

    :param known: group → names of its options, for each group of :data:`OWN_GROUPS`
    """
    found: list[tuple[str, str, str | None]] = []
    for file in conf.files:
        for group, options in file.sections.items():
            if group in OWN_GROUPS:
                found += [(str(file.path), group, name) for name in options if name not in known[group]]
            elif difflib.get_close_matches(group, OWN_GROUPS, 1, 0.8):
                found.append((str(file.path), group, None))
    return found


def check_names(conf: Configuration, known: Mapping[str, Iterable[str]]) -> None:
    """Refuse what :func:`unknown_names` finds.

    :raises ConfigurationError: names the first, and the nearest name that there is
    """
    for path, group, name in unknown_names(conf, known):
        if name is None:
            close = difflib.get_close_matches(group, OWN_GROUPS, 1, 0.8)
            raise ConfigurationError(f"{path}: there is no group [{group}]", f"did you mean [{close[0]}]?")
        names = sorted(known[group])
        close = difflib.get_close_matches(name.replace("-", "_").lower(), names, 1, 0.5)
        advice = f"did you mean {close[0]}?" if close else f"its options are {', '.join(names)}"
        raise ConfigurationError(f"{path}: [{group}] has no option {name}", advice)
