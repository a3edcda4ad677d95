"""Placement's answers as exceptions, told apart by status and error ``code``, never by text.

PlacementError
├── Unreachable             no answer: refused, reset, timed out, TLS, name resolution
├── NotPlacement            an answer that is not Placement's: HTML, a redirect, truncated JSON
├── AuthenticationFailed    401, or Keystone refused the credentials
├── Forbidden               403: the role is missing
├── TooOld                  406: the microversion is not supported
├── Unavailable             429 and 5xx; ``retry_after`` in seconds where told
│   └── InternalError           500; also of two writers of one provider's traits at the same moment
├── BadRequest              400
├── NotFound                404
└── Conflict                409
    ├── ConcurrentUpdate        placement.concurrent_update
    ├── InventoryInUse          placement.inventory.inuse
    ├── DuplicateName           placement.duplicate_name (name or uuid)
    ├── ProviderInUse           placement.resource_provider.inuse
    └── CannotDeleteParent      placement.resource_provider.cannot_delete_parent
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from reporter.errors import ReporterError

if TYPE_CHECKING:
    from requests import Response

_DETAIL_LENGTH = 300


class PlacementError(ReporterError):
    """Any failure of a request to Placement."""


class Unreachable(PlacementError):
    """There was no answer; whether Placement acted is unknown."""


class NotPlacement(PlacementError):
    """Something answered that does not speak Placement's API."""


class AuthenticationFailed(PlacementError):
    """The credentials or the token were refused."""


class Forbidden(PlacementError):
    """The credentials lack the role that the request needs."""


class TooOld(PlacementError):
    """Placement does not know the microversion."""


class Unavailable(PlacementError):
    """Placement is overloaded or broken just now."""

    def __init__(self, what: str, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, advice)
        self.retry_after = retry_after


class InternalError(Unavailable):
    """Placement is broken; or it stumbled over two conditional writes at the same moment."""


class BadRequest(PlacementError):
    """Placement calls the request malformed or impossible."""


class NotFound(PlacementError):
    """There is no such thing in Placement."""


class Conflict(PlacementError):
    """The request contradicts what Placement has."""


class ConcurrentUpdate(Conflict):
    """Somebody else changed the provider or consumer since it was read."""


class InventoryInUse(Conflict):
    """A resource class was to be removed that has allocations."""


class DuplicateName(Conflict):
    """A provider has that name, or that uuid, already."""


class ProviderInUse(Conflict):
    """A provider with allocations was to be deleted."""


class CannotDeleteParent(Conflict):
    """A provider with children was to be deleted."""


#: Failures that are Placement's as a whole, hardly one node's.
PLACEMENT_FAILS = (Unreachable, NotPlacement, AuthenticationFailed, TooOld, Unavailable)
#: After so many nodes that met them, one after the other, the next would not fare better.
ENOUGH_IN_A_ROW = 2

_BY_CODE: dict[str, type[PlacementError]] = {
    "placement.resource_provider.not_found": NotFound,  # a 400 where the reshaper says it
    "placement.concurrent_update": ConcurrentUpdate,
    "placement.inventory.inuse": InventoryInUse,
    "placement.duplicate_name": DuplicateName,
    "placement.resource_provider.inuse": ProviderInUse,
    "placement.resource_provider.cannot_delete_parent": CannotDeleteParent,
}
_BY_STATUS: dict[int, type[PlacementError]] = {
    400: BadRequest,
    404: NotFound,
    409: Conflict,
}
_ADVICE: dict[type[PlacementError], str] = {
    BadRequest: "this is a defect of the driver's tree or of placement-reporter; -v shows the request",
    NotFound: "check that the URL is Placement's; if it is, a later cycle tries again",
    ConcurrentUpdate: "another writer is changing the same providers; the next cycle reads them again",
    InventoryInUse: "move or delete the allocations first, or keep the inventory",
    ProviderInUse: "move or delete its allocations first",
    CannotDeleteParent: "delete or move its children first",
}


def from_response(response: Response, request: str) -> PlacementError:
    """The exception for an answer with a status of 400 or more.

    :param request: method and path, for the message
    """
    status = response.status_code
    if status == 401:
        return AuthenticationFailed(
            f"Placement refused the token (401) at {request}",
            "check the credentials in [placement] or clouds.yaml",
        )
    if status == 406:
        return TooOld(
            f"Placement does not support the API version that {request} needs ({_versions(response)})",
            "upgrade openstack-placement to 7.0.0 (Yoga) or later",
        )
    if status == 429 or status >= 500:
        kind_of_failure = InternalError if status == 500 else Unavailable
        return kind_of_failure(
            f"Placement answered {status} to {request}: {_detail(response)[1]}",
            "look at Placement's log; a later cycle tries again",
            retry_after=_retry_after(response),
        )
    code, detail = _detail(response)
    if status == 403:
        role = "role service" if "/reshaper" in request else "role admin or service"
        return Forbidden(
            f"Placement forbids {request} (403): {detail}",
            f"give the user {role}, or adapt Placement's policy",
        )
    if status == 404 and code is None:
        return NotPlacement(
            f"{request} was not found (404), and the answer is not Placement's",
            "check that the URL or the endpoint in the catalog is Placement's",
        )
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status, PlacementError)
    advice = _ADVICE.get(kind, "a later cycle tries again; Placement's log may tell more")
    return kind(f"Placement answered {status} to {request}: {detail}", advice)


def _detail(response: Response) -> tuple[str | None, str]:
    """Error code and one line of text out of Placement's error document."""
    try:
        error = response.json()["errors"][0]
        detail = " ".join(str(error["detail"]).split())
        return error.get("code"), detail[:_DETAIL_LENGTH]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, response.reason or "no reason given"


def _versions(response: Response) -> str:
    try:
        error = response.json()["errors"][0]
        return f"it has {error['min_version']} to {error['max_version']}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return "it does not say which it has"


def _retry_after(response: Response) -> float | None:
    """Seconds: the header has them, or a date (RFC 9110, 10.2.3)."""
    told = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # a date without a zone cannot be compared
        return None
