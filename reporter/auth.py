"""Ways to a Placement: ``[placement]`` of a configuration, clouds.yaml, or a URL.

Each returns a keystoneauth1 adapter. None of them sends a request: the token is got with the first one, the
endpoint comes from the catalog or the configuration, and no version discovery is asked for.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keystoneauth1 import exceptions, loading, session
from keystoneauth1.adapter import Adapter
from oslo_config import cfg

from reporter.errors import ConfigurationError
from reporter.options.checks import check_values

if TYPE_CHECKING:
    from reporter.options import Configuration

GROUP = "placement"
SERVICE_TYPE = "placement"
MICROVERSION = "1.39"

#: Seconds that connecting, and then each wait for bytes, may take where nothing says otherwise.
DEFAULT_TIMEOUT = 30.0

#: What an unauthenticated Placement (its ``noauth2``) takes for an administrator who may also reshape.
NOAUTH_HEADERS = {"X-Auth-Token": "admin", "X-Roles": "admin,service"}

_WITHOUT_CATALOG = ("none", "noauth", "http_basic")
#: Which versions we speak is a matter of the code, so version, min_version and max_version are left out.
_ADAPTER_OPTIONS = (
    "service_type",
    "service_name",
    "region_name",
    "endpoint_override",
    "connect_retries",
    "connect_retry_delay",
    "status_code_retries",
    "status_code_retry_delay",
    "retriable_status_codes",
)
_ADVICE = "see [placement] in docs/configuration.md"


class AskingOnce(session.Session):
    """A session that does not wait for the token that it is getting.

    Where 401 answers keystoneauth1's question for the API versions (a proxy before Keystone, a wrong
    ``auth_url``), it asks again with a token, and waits for ever for the lock that it holds itself.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._getting = threading.local()

    def get_auth_headers(self, auth: Any = None, **named: Any) -> Any:
        """As keystoneauth1's.

        :raises keystoneauth1.exceptions.Unauthorized: called while the same credentials get their token
        """
        plugin = auth or self.auth
        under_way: list[Any] = self._getting.__dict__.setdefault("plugins", [])
        if any(each is plugin for each in under_way):
            raise exceptions.Unauthorized("asked for a token before there is one")
        under_way.append(plugin)
        try:
            return super().get_auth_headers(auth, **named)
        finally:
            under_way.pop()


class _Adapter(Adapter):
    """An adapter without a rate limit.

    keystoneauth1 has no request begin, by the wall clock, before the adapter was made: when the clock is set
    back, as it is at boot, requests wait until that moment comes again.
    """

    def request(self, url: str, method: str, **named: Any) -> Any:
        """As keystoneauth1's."""
        return super().request(url, method, **{"rate_semaphore": contextlib.nullcontext(), **named})


class _SessionLoader(loading.session.Session):
    @property
    def plugin_class(self) -> type[session.Session]:
        return AskingOnce


def placement_options() -> Sequence[cfg.Opt]:
    """The options of ``[placement]``: those of any authentication, and those of the usual ones."""
    options = [*_general_options()]
    for plugin in ("password", "v3applicationcredential", "http_basic", "none"):
        known = {option.dest for option in options}
        more = loading.get_auth_plugin_conf_options(plugin)
        options += [option for option in more if option.dest not in known]
    return options


def _general_options() -> list[cfg.Opt]:
    adapter = loading.get_adapter_conf_options(include_deprecated=False)
    options = [
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
        *(option for option in adapter if option.dest in (*_ADAPTER_OPTIONS, "valid_interfaces")),
    ]
    # As nova.conf has them.
    cfg.set_defaults(options, service_type=SERVICE_TYPE, valid_interfaces=["internal", "public"])
    cfg.set_defaults(options, timeout=DEFAULT_TIMEOUT)
    return options


def adapter_from_conf(conf: Configuration) -> Adapter:
    """The Placement that ``[placement]`` names, with any authentication that keystoneauth1 has.

    :raises ConfigurationError: it names none, or something is missing or wrong in it
    """
    _register(conf)
    check_values(conf)
    auth = _auth_plugin(conf)
    if not conf[GROUP].timeout > 0:
        raise ConfigurationError(
            f"{_where(conf, 'timeout')} timeout must be more than 0 seconds",
            f"the default is {DEFAULT_TIMEOUT:g}",
        )
    for name in ("cafile", "certfile", "keyfile"):
        _check_readable(conf, name)
    try:
        opened = _SessionLoader().load_from_conf_options(
            conf, GROUP, auth=auth, user_agent=user_agent(), redirect=False
        )
    except (TypeError, ValueError, exceptions.ClientException) as error:
        raise ConfigurationError(f"{_where(conf, 'auth_type')}: {error}", _ADVICE) from error
    group = conf[GROUP]
    return _Adapter(
        opened,
        interface=_interfaces(conf),
        default_microversion=MICROVERSION,
        **{name: group[name] for name in _ADAPTER_OPTIONS},
    )


def _interfaces(conf: Configuration) -> list[str]:
    interfaces: list[str] = conf[GROUP].valid_interfaces
    for interface in interfaces:
        if interface not in ("public", "internal", "admin"):
            raise ConfigurationError(
                f"{_where(conf, 'valid_interfaces')} valid_interfaces: {interface!r} is no interface",
                "they are public, internal and admin",
            )
    return interfaces


def _register(conf: Configuration) -> None:
    conf.register_opts(_general_options(), group=GROUP)
    section = conf[GROUP].auth_section
    if section and section != GROUP:
        loading.register_auth_conf_options(conf, GROUP)


def _auth_plugin(conf: Configuration) -> Any:
    section = conf[GROUP].auth_section or GROUP
    kind = conf[section].auth_type
    if not kind:
        raise ConfigurationError(
            "no Placement is configured: [placement] auth_type is not set",
            "set it in a configuration file, or name a Placement with --os-cloud, --placement or --embedded",
        )
    try:
        plugin = loading.load_auth_from_conf_options(conf, GROUP)
    except exceptions.NoMatchingPlugin as error:
        raise ConfigurationError(
            f"{_where(conf, 'auth_type')}: there is no authentication {kind!r}",
            "usual ones: password, v3applicationcredential, http_basic, none",
        ) from error
    except exceptions.MissingRequiredOptions as error:
        missing = ", ".join(option.dest for option in error.options)
        raise ConfigurationError(
            f"{_where(conf, 'auth_type')}: auth_type {kind} needs {missing}", f"set {missing} in [{section}]"
        ) from error
    except cfg.Error:
        check_values(conf)  # says which option it is, and nothing of a secret one
        raise
    except (ValueError, TypeError, exceptions.ClientException) as error:
        raise ConfigurationError(f"{_where(conf, 'auth_type')}: {error}", _ADVICE) from error
    if kind in _WITHOUT_CATALOG and not (conf[GROUP].endpoint_override or conf[section].get("endpoint")):
        raise ConfigurationError(
            f"{_where(conf, 'auth_type')}: auth_type {kind} has no catalog to find Placement in",
            "set endpoint_override in [placement] to its URL",
        )
    return plugin


def _where(conf: Configuration, name: str) -> str:
    """The file of an option, and the group."""
    section = conf[GROUP].auth_section or GROUP
    written = conf.written(name, section)
    return f"{written.where}: [{section}]" if written else f"[{section}]"


def _check_readable(conf: Configuration, name: str) -> None:
    """The TLS library would tell of it with the first request, and not which option it was."""
    path = conf[GROUP][name]
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        if name == "cafile" and Path(path).is_dir():
            return
        raise ConfigurationError(
            f"{_where(conf, name)} {name}: {path} cannot be read: {error.strerror}", "correct the path"
        ) from error


def adapter_from_cloud(name: str) -> Adapter:
    """The Placement of a cloud in clouds.yaml, found and read as OpenStack's own clients do.

    :raises ConfigurationError: there is no such cloud, the file cannot be read, or something is missing in it
    """
    import openstack.config  # noqa: PLC0415 - 0.3 s that only this way needs
    import yaml  # noqa: PLC0415 - for what openstacksdk lets through
    from openstack import exceptions as sdk_exceptions  # noqa: PLC0415 - the same

    try:
        clouds = openstack.config.OpenStackConfig(
            app_name="placement-reporter", app_version=_version(), session_constructor=AskingOnce
        )
        if name not in clouds.get_cloud_names():
            raise _unknown_cloud(name, clouds)
        region = clouds.get_one(cloud=name)
        opened = region.get_session()
    except exceptions.MissingRequiredOptions as error:
        missing = ", ".join(option.dest for option in error.options)
        raise ConfigurationError(
            f"cloud {name!r} lacks {missing}", "add it under auth: in clouds.yaml"
        ) from error
    except (sdk_exceptions.ConfigException, exceptions.ClientException, yaml.YAMLError, OSError) as error:
        raise ConfigurationError(
            f"cloud {name!r} cannot be used: {' '.join(str(error).split())}", "correct clouds.yaml"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # openstacksdk does not check the form of the file before it walks through it.
        raise ConfigurationError(
            f"cloud {name!r} cannot be used: clouds.yaml is not in the form of a clouds.yaml ({error})",
            "see openstacksdk's documentation of clouds.yaml",
        ) from error
    opened.redirect = False
    opened.user_agent = user_agent()
    if opened.timeout is None:
        opened.timeout = DEFAULT_TIMEOUT
    return _Adapter(
        opened,
        service_type=region.get_service_type(SERVICE_TYPE),
        service_name=region.get_service_name(SERVICE_TYPE),
        interface=region.get_interface(SERVICE_TYPE),
        region_name=region.get_region_name(SERVICE_TYPE),
        endpoint_override=region.get_endpoint(SERVICE_TYPE),
        connect_retries=region.get_connect_retries(SERVICE_TYPE),
        status_code_retries=region.get_status_code_retries(SERVICE_TYPE),
        default_microversion=MICROVERSION,
    )


def _unknown_cloud(name: str, clouds: Any) -> ConfigurationError:
    if clouds.config_filename is None:
        return ConfigurationError(
            f"there is no cloud {name!r}: no clouds.yaml was found",
            "openstacksdk looks in ., ~/.config/openstack and /etc/openstack, or at $OS_CLIENT_CONFIG_FILE",
        )
    known = ", ".join(sorted(clouds.get_cloud_names()))
    return ConfigurationError(f"there is no cloud {name!r} in clouds.yaml", f"it has {known}")


def adapter_from_session(opened: session.Session) -> Adapter:
    """Placement as the catalog behind a keystoneauth1 session has it."""
    return _Adapter(opened, service_type=SERVICE_TYPE, default_microversion=MICROVERSION)


def adapter_from_url(url: str, timeout: float = DEFAULT_TIMEOUT) -> Adapter:
    """An unauthenticated Placement, as tests and the embedded one are.

    :param url: the root of the API, http or https
    :param timeout: seconds
    :raises ConfigurationError: ``url`` is not a URL
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"{url!r} is not the URL of a Placement",
            "give one like http://127.0.0.1:8778 or https://host/placement",
        )
    opened = session.Session(timeout=timeout, user_agent=user_agent(), redirect=False)
    if _is_loopback(parts.hostname or ""):
        # A proxy of the environment would look for 127.0.0.1 on itself.
        opened.session.trust_env = False
    return _Adapter(
        opened,
        service_type=SERVICE_TYPE,
        endpoint_override=url.rstrip("/"),
        default_microversion=MICROVERSION,
        additional_headers=dict(NOAUTH_HEADERS),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def user_agent() -> str:
    """What Placement's log shows of us; keystoneauth1 adds itself."""
    return f"placement-reporter/{_version()}"


def _version() -> str:
    return version("placement-reporter")
