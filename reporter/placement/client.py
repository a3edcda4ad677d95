"""The only HTTP of the project: one method an endpoint of Placement's API, over a keystoneauth1 adapter.

https://docs.openstack.org/api-ref/placement/. The API is pinned at 1.39, but ``POST /reshaper`` goes at
1.37: from
1.38 on it wants each consumer's type and refuses ``unknown``, which is what Nova's consumers have.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from keystoneauth1 import exceptions as ks
from keystoneauth1.identity.base import BaseIdentityPlugin
from requests.exceptions import RequestException

from reporter.placement import errors
from reporter.urls import without_user

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from requests import Response

MICROVERSION = "1.39"
RESHAPER_MICROVERSION = "1.37"

_URL = re.compile(r"\b(https?://)(?:[^/@\s]*@)?([^/?#\s'\"]+)")
_DETAIL_LENGTH = 200
_NAMES_IN_A_QUERY = 100  # keeps the URL of GET /traits?name=in:… under 8 KiB


class ProviderSummary(NamedTuple):
    """A provider as the listing gives it, without its records. A tuple: quick to make by the thousand."""

    uuid: str
    name: str
    generation: int
    parent_uuid: str | None
    root_uuid: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """All that one consumer holds.

    :ivar resources: provider uuid → resource class → amount
    """

    consumer: str
    resources: Mapping[str, Mapping[str, int]]
    consumer_generation: int | None
    project_id: str | None
    user_id: str | None
    consumer_type: str | None = None


class PlacementClient:
    """Speaks to one Placement. Safe to use from several threads.

    :param adapter: a keystoneauth1 adapter for the service type ``placement``
    :param label: what tells this Placement from others between runs; by default its URL
    :raises reporter.placement.errors.PlacementError: every method, see that module
    """

    def __init__(self, adapter: Adapter, label: str | None = None) -> None:
        self._adapter = adapter
        self._label = label
        self._lock = threading.Lock()
        self._requests_sent = 0

    @property
    def requests_sent(self) -> int:
        """How many requests this client has sent, answered or not (Keystone's not counted)."""
        return self._requests_sent

    @property
    def endpoint(self) -> str:
        """The URL of Placement, for messages and to tell one Placement from another; without a user in it."""
        with self._explained("finding Placement's endpoint"):
            return without_user(str(self._adapter.get_endpoint() or ""))

    @property
    def label(self) -> str:
        """What tells this Placement from others between runs."""
        return self._label if self._label is not None else self.endpoint

    def roles(self) -> frozenset[str] | None:
        """The roles of our token; None where the authentication does not tell."""
        told = (self._adapter.additional_headers or {}).get("X-Roles")
        if told is not None:
            return frozenset(role.strip() for role in told.split(","))
        auth = self._adapter.auth or self._adapter.session.auth
        if not isinstance(auth, BaseIdentityPlugin):
            return None
        with self._explained("getting a token"):
            return frozenset(auth.get_access(self._adapter.session).role_names or ())

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        microversion: str = MICROVERSION,
    ) -> dict[str, Any]:
        """Send one request.

        :return: the JSON answer; {} for an empty one
        """
        what = f"{method} {path}"
        with self._lock:
            self._requests_sent += 1
        extra = {} if body is None else {"json": body}
        with self._explained(what):
            response = self._adapter.request(
                path, method, microversion=microversion, raise_exc=False, redirect=False, **extra
            )
        if 300 <= response.status_code < 400:
            raise errors.NotPlacement(
                f"{what} was redirected to {response.headers.get('Location', 'nowhere')}",
                "give the URL of Placement itself: redirects are not followed, they could leak the token",
            )
        if response.status_code >= 400:
            raise errors.from_response(response, what)
        return _json(response, what)

    # Reads

    def list_tree(self, uuid: str) -> list[ProviderSummary]:
        """All providers of the tree that ``uuid`` belongs to; [] if there is no such provider."""
        return self._list({"in_tree": uuid})

    def find_provider(self, name: str) -> ProviderSummary | None:
        """The provider of that name."""
        # To Placement an empty name is no filter: it would list all providers of the cloud.
        found = self._list({"name": name}) if name else []
        return found[0] if found else None

    def list_providers(self) -> list[ProviderSummary]:
        """Every provider of the cloud."""
        return self._list({})

    def inventories(self, uuid: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Generation and inventory records of a provider."""
        answer = self.request("GET", f"/resource_providers/{uuid}/inventories")
        with _shaped("inventories", uuid):
            return int(answer["resource_provider_generation"]), dict(answer["inventories"])

    def traits(self, uuid: str) -> tuple[int, frozenset[str]]:
        """Generation and traits of a provider."""
        answer = self.request("GET", f"/resource_providers/{uuid}/traits")
        with _shaped("traits", uuid):
            return int(answer["resource_provider_generation"]), frozenset(answer["traits"])

    def aggregates(self, uuid: str) -> tuple[int, frozenset[str]]:
        """Generation and aggregates of a provider."""
        answer = self.request("GET", f"/resource_providers/{uuid}/aggregates")
        with _shaped("aggregates", uuid):
            return int(answer["resource_provider_generation"]), frozenset(answer["aggregates"])

    def usages(self, uuid: str) -> dict[str, int]:
        """Resource class → amount in use on a provider."""
        answer = self.request("GET", f"/resource_providers/{uuid}/usages")
        with _shaped("usages", uuid):
            return dict(answer["usages"])

    def tree_usages(self, uuid: str, resource_class: str, amount: int) -> dict[str, dict[str, int]]:
        """Provider uuid → resource class → amount in use, of a whole tree.

        {} if no provider of the tree has room for that much of the class, or if there is no such tree.
        """
        query = {"resources": f"{resource_class}:{amount}", "in_tree": uuid, "limit": 1}
        answer = self.request("GET", f"/allocation_candidates?{urlencode(query, safe=':')}")
        with _shaped("usages of tree", uuid):
            return {
                provider: {name: int(each["used"]) for name, each in summary["resources"].items()}
                for provider, summary in answer["provider_summaries"].items()
            }

    def existing_traits(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names`` that Placement knows as traits."""
        wanted = sorted(names)
        found: set[str] = set()
        for start in range(0, len(wanted), _NAMES_IN_A_QUERY):
            some = ",".join(wanted[start : start + _NAMES_IN_A_QUERY])
            answer = self.request("GET", "/traits?" + urlencode({"name": f"in:{some}"}, safe=":,"))
            with _shaped("traits", "all"):
                found.update(answer["traits"])
        return frozenset(found)

    def resource_classes(self) -> frozenset[str]:
        """Every resource class that Placement knows."""
        answer = self.request("GET", "/resource_classes")
        with _shaped("resource classes", "all"):
            return frozenset(each["name"] for each in answer["resource_classes"])

    def consumers_of(self, uuid: str) -> frozenset[str]:
        """The consumers that have allocations on a provider."""
        answer = self.request("GET", f"/resource_providers/{uuid}/allocations")
        with _shaped("allocations", uuid):
            return frozenset(answer["allocations"])

    def allocation(self, consumer: str) -> Allocation | None:
        """What a consumer holds, on all trees; None if it holds nothing."""
        answer = self.request("GET", f"/allocations/{quote(consumer)}")
        with _shaped("allocations of consumer", consumer):
            if not answer["allocations"]:
                return None
            return Allocation(
                consumer=consumer,
                resources={rp: dict(each["resources"]) for rp, each in answer["allocations"].items()},
                consumer_generation=answer.get("consumer_generation"),
                project_id=answer.get("project_id"),
                user_id=answer.get("user_id"),
                consumer_type=answer.get("consumer_type"),
            )

    # Writes: ``request``, with what a plan says

    def check_may_reshape(self) -> None:
        """Ask the reshaper for nothing, which only a forbidden caller is refused.

        :raises reporter.placement.errors.Forbidden: the token lacks the role (by default ``service``)
        """
        nothing: dict[str, Any] = {"inventories": {}, "allocations": {}}
        with contextlib.suppress(errors.BadRequest):
            self.request("POST", "/reshaper", nothing, microversion=RESHAPER_MICROVERSION)

    def _explained(self, what: str) -> _explained:
        auth = self._adapter.auth or self._adapter.session.auth
        return _explained(what, getattr(auth, "auth_url", None))

    def _list(self, query: Mapping[str, str]) -> list[ProviderSummary]:
        path = "/resource_providers"
        answer = self.request("GET", f"{path}?{urlencode(query)}" if query else path)
        with _shaped("providers", "listing"):
            return [
                ProviderSummary(
                    each["uuid"],
                    each["name"],
                    each["generation"],
                    each["parent_provider_uuid"],
                    each["root_provider_uuid"],
                )
                for each in answer["resource_providers"]
            ]


def _json(response: Response, what: str) -> dict[str, Any]:
    if response.status_code == 204 or not response.content:
        return {}
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        kind = response.headers.get("Content-Type", "no content type")
        raise errors.NotPlacement(
            f"the answer to {what} is not a JSON object ({kind}, {len(response.content)} bytes)",
            "check that the URL is Placement's, and that no proxy answers for it",
        )
    return answer


class _shaped:  # noqa: N801 - reads as a statement
    """Turns a missing or odd field of an answer into NotPlacement."""

    def __init__(self, what: str, of: str) -> None:
        self._what, self._of = what, of

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (LookupError, TypeError, ValueError, AttributeError)):
            raise errors.NotPlacement(
                f"Placement's answer about {self._what} ({self._of}) lacks what the API promises: {error!r}",
                "check that the URL is Placement's, and that no proxy answers for it",
            ) from error


class _explained:  # noqa: N801 - reads as a statement
    """Turns keystoneauth1's exceptions into ours. Their texts may hold URLs, never credentials.

    :param keystone: the URL of Keystone, where there is one
    """

    def __init__(self, what: str, keystone: str | None) -> None:
        self._what, self._keystone = what, keystone

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, (ks.ClientException, RequestException, OSError)):
            return
        detail = " ".join(str(error).split())
        if isinstance(error, ks.SSLError):
            raise errors.Unreachable(
                f"TLS failed at {self._what}{_from(detail)}: {_cause(error)}",
                "set [placement] cafile to the CA that signed the server's certificate, or correct the URL",
            ) from error
        if isinstance(error, (ks.Unauthorized, ks.Forbidden)):
            raise errors.AuthenticationFailed(
                f"Keystone refused the credentials at {self._what}",
                "check [placement] auth_url, username, password or application credential (or clouds.yaml)",
            ) from error
        if isinstance(error, (ks.EndpointNotFound, ks.CatalogException)):
            raise errors.Unreachable(
                f"no endpoint for Placement: {detail}",
                "check [placement] region_name and valid_interfaces, or set endpoint_override",
            ) from error
        if isinstance(error, (ks.MissingAuthPlugin, ks.AuthPluginException, ks.NoMatchingPlugin)):
            raise errors.AuthenticationFailed(
                f"authentication is not set up: {detail}",
                "set [placement] auth_type and its options, or use --os-cloud NAME",
            ) from error
        answered = isinstance(error, (ks.HttpError, ks.InvalidResponse, ks.DiscoveryFailure))
        if answered and not isinstance(error.__context__, ks.ConnectFailure):
            # What Placement answers is no exception of keystoneauth1's.
            raise errors.Unreachable(
                f"Keystone's answer is no token, at {self._what}: {detail[:_DETAIL_LENGTH]}",
                "check that Keystone is up and that auth_url in [placement] (or clouds.yaml) is its URL",
            ) from error
        if self._keystone and self._keystone.rstrip("/") in detail:
            raise errors.Unreachable(
                f"no answer{_from(detail)}, which is Keystone, to {self._what}: {_cause(error)}",
                "check that Keystone is up and that auth_url in [placement] (or clouds.yaml) is its URL",
            ) from error
        raise errors.Unreachable(
            f"no answer{_from(detail)} to {self._what}: {_cause(error)}",
            "check that Placement is up and that its URL is right",
        ) from error


def _from(detail: str) -> str:
    """Which server it was, out of the text of an exception that names a URL; without path, query or user."""
    found = _URL.search(detail)
    return f" from {found[1]}{found[2].rstrip(':')}" if found else ""


def _cause(error: BaseException) -> str:
    """What happened in the end, of a chain of exceptions that each quote the one before."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
