"""Each way in which Placement, or what stands before it, may fail is an exception that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session
from requests.adapters import BaseAdapter

from reporter.errors import ReporterError
from reporter.placement import errors
from reporter.placement.client import PlacementClient

URL = "http://placement.example/placement"
Answer = Callable[[requests.PreparedRequest], requests.Response]


class Wire(BaseAdapter):
    """In place of the network: answers with a function, and keeps what was sent."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.sent.append(request)
        response = self.answer(request)
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        pass


def client_over(answer: Answer) -> tuple[PlacementClient, Wire]:
    wire, session = Wire(answer), requests.Session()
    session.mount("http://", wire)
    adapter = Adapter(
        Session(auth=NoAuth(endpoint=URL), session=session),
        service_type="placement",
        endpoint_override=URL,
        additional_headers={"X-Auth-Token": "very secret"},
    )
    return PlacementClient(adapter), wire


def answer(status: int, body: bytes | Any = b"", **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.reason = "the reason"
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return response


def error(status: int, code: str | None = None, **more: Any) -> requests.Response:
    """Placement's error document; without a code from before 1.23 or from the server below it."""
    document = {"status": status, "title": "Title", "detail": "what\n went   wrong", **more}
    return answer(status, {"errors": [document if code is None else {**document, "code": code}]})


def sent_json(request: requests.PreparedRequest) -> Any:
    """The body of a request; None without one."""
    assert request.body is None or isinstance(request.body, str | bytes)
    return json.loads(request.body) if request.body else None


def failure(response: requests.Response, method: str = "PUT", path: str = "/x") -> errors.PlacementError:
    client, _ = client_over(lambda _request: response)
    with pytest.raises(errors.PlacementError) as caught:
        client.request(method, path, {})
    assert caught.value.what
    assert "very secret" not in str(caught.value)
    assert "\n" not in caught.value.what
    return caught.value


def test_another_service_of_openstack_may_have_said_that_there_is_no_such_thing() -> None:
    """Its errors look like Placement's, and the URL is what to look at."""
    assert "check that the URL is Placement's" in failure(error(404, "placement.undefined_code")).advice


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (error(400, "placement.undefined_code"), errors.BadRequest),
        (error(400), errors.BadRequest),
        (error(400, "placement.resource_provider.not_found"), errors.NotFound),
        (error(401), errors.AuthenticationFailed),
        (error(403), errors.Forbidden),
        (error(404, "placement.undefined_code"), errors.NotFound),
        (answer(404, b"<html>no such page"), errors.NotPlacement),
        (answer(404), errors.NotPlacement),
        (error(406, min_version="1.0", max_version="1.30"), errors.TooOld),
        (error(409, "placement.concurrent_update"), errors.ConcurrentUpdate),
        (error(409, "placement.inventory.inuse"), errors.InventoryInUse),
        (error(409, "placement.duplicate_name"), errors.DuplicateName),
        (error(409, "placement.resource_provider.inuse"), errors.ProviderInUse),
        (error(409, "placement.resource_provider.cannot_delete_parent"), errors.CannotDeleteParent),
        (error(409, "placement.undefined_code"), errors.Conflict),
        (error(409, "placement.something.new"), errors.Conflict),
        (answer(409, b"not JSON"), errors.Conflict),
        (answer(413), errors.PlacementError),
        (answer(429), errors.Unavailable),
        (answer(500, b"<html>"), errors.InternalError),
        (error(503), errors.Unavailable),
        (answer(301, Location="http://elsewhere"), errors.NotPlacement),
        (answer(302), errors.NotPlacement),
        (answer(200, b"<html>a proxy"), errors.NotPlacement),
        (answer(200, b'{"resource_prov'), errors.NotPlacement),
        (answer(200, []), errors.NotPlacement),
        (answer(200, b"null"), errors.NotPlacement),
        (answer(200, b"\xff\xfe"), errors.NotPlacement),
        (answer(200, b"[" * 100_000), errors.NotPlacement),
        (answer(400, b"[" * 100_000), errors.BadRequest),
        (answer(400, {"errors": [3]}), errors.BadRequest),
        (answer(400, {"errors": [{"detail": "x", "code": []}]}), errors.BadRequest),
    ],
)
def test_answer_is_told_by_status_and_code(
    response: requests.Response, kind: type[errors.PlacementError]
) -> None:
    caught = failure(response)
    assert type(caught) is kind
    assert "PUT /x" in caught.what


def test_message_has_placement_s_words_in_one_line() -> None:
    assert failure(error(409, "placement.inventory.inuse")).what == (
        "Placement answered 409 to PUT /x: what went wrong"
    )
    assert failure(answer(500)).what == "Placement answered 500 to PUT /x: the reason"
    long = failure(error(400, detail="x" * 10_000))
    assert len(long.what) < 400


def test_role_that_is_missing_is_named() -> None:
    assert "role service" in failure(error(403), "POST", "/reshaper").advice
    assert "role admin or service" in failure(error(403), "PUT", "/resource_providers/x").advice


def test_release_that_is_too_old_is_told() -> None:
    assert "1.0 to 1.30" in failure(error(406, min_version="1.0", max_version="1.30")).what
    assert "upgrade" in failure(answer(406)).advice


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), (None, None)]
)
def test_pause_that_placement_asks_for(header: str | None, seconds: float | None) -> None:
    for status in (429, 503):
        headers = {} if header is None else {"Retry_After": header}
        caught = failure(answer(status, **headers))
        assert isinstance(caught, errors.Unavailable)
        assert caught.retry_after == seconds


@pytest.mark.parametrize(("ahead", "most"), [(120, 120), (-120, 0)])
def test_pause_may_be_asked_for_as_a_date(ahead: int, most: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    caught = failure(answer(503, Retry_After=date))
    assert isinstance(caught, errors.Unavailable)
    assert caught.retry_after is not None
    assert max(0, most - 30) <= caught.retry_after <= most


@pytest.mark.parametrize(
    "raised",
    [
        requests.ConnectionError("refused"),
        requests.ConnectTimeout("slow"),
        requests.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut off"),
        requests.exceptions.ContentDecodingError("gzip?"),
        requests.exceptions.SSLError("certificate verify failed"),
        ConnectionResetError(104, "reset"),
        OSError("no file descriptors"),
    ],
)
def test_no_answer_is_unreachable(raised: Exception) -> None:
    def fail(_request: requests.PreparedRequest) -> requests.Response:
        raise raised

    client, _ = client_over(fail)
    with pytest.raises(errors.Unreachable) as caught:
        client.list_providers()
    assert caught.value.advice
    assert client.requests_sent == 1


SHAPES: list[Any] = [
    {},
    {"resource_providers": None},
    {"resource_providers": [{}]},
    {"resource_providers": [{"uuid": "x"}]},
    {"inventories": {}, "traits": 5, "aggregates": []},
    {"resource_provider_generation": None, "inventories": {}, "traits": None, "aggregates": []},
    {"resource_provider_generation": 1, "inventories": None, "traits": None, "aggregates": None},
    {"usages": None, "allocations": 3, "resource_classes": [{}]},
    {"allocations": {"rp": {}}},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_answer_without_what_the_api_promises_is_not_placement_s(shape: Any) -> None:
    client, _ = client_over(lambda _request: answer(200, shape))
    reads: list[Callable[[], object]] = [
        client.list_providers,
        lambda: client.list_tree("uuid"),
        lambda: client.find_provider("name"),
        lambda: client.inventories("uuid"),
        lambda: client.traits("uuid"),
        lambda: client.aggregates("uuid"),
        lambda: client.usages("uuid"),
        lambda: client.allocation("consumer"),
        client.resource_classes,
        lambda: client.existing_traits(["CUSTOM_A"]),
    ]
    for read in reads:
        with pytest.raises(errors.NotPlacement, match="what the API promises"):
            read()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["resource_providers", "allocations", "inventories", "resource_provider_generation"]
                ),
                inner,
            )
        ),
        max_leaves=6,
    )
)
def test_no_answer_makes_anything_but_an_explained_error(body: Any) -> None:
    client, _ = client_over(lambda _request: answer(200, body))
    for read in (client.list_providers, lambda: client.inventories("x"), lambda: client.allocation("x")):
        with suppress(ReporterError):  # any other error fails the test
            read()


# What is sent


def test_each_request_carries_its_version_and_is_counted() -> None:
    client, wire = client_over(lambda _request: answer(204))
    assert client.request("PUT", "/traits/CUSTOM_A") == {}
    assert client.request("POST", "/reshaper", {}, microversion="1.37") == {}
    assert [each.headers["OpenStack-API-Version"] for each in wire.sent] == [
        "placement 1.39",
        "placement 1.37",
    ]
    assert [each.url for each in wire.sent] == [f"{URL}/traits/CUSTOM_A", f"{URL}/reshaper"]
    assert wire.sent[0].body is None
    assert wire.sent[1].body in (b"{}", "{}")
    assert client.requests_sent == 2


def test_names_are_quoted() -> None:
    client, wire = client_over(lambda _request: answer(200, {"resource_providers": []}))
    assert client.find_provider("a&b=c d/ü") is None
    assert wire.sent[0].url == f"{URL}/resource_providers?name=a%26b%3Dc+d%2F%C3%BC"


def test_many_traits_are_asked_for_in_urls_of_a_size_that_servers_take() -> None:
    def known(request: requests.PreparedRequest) -> requests.Response:
        asked = (request.url or "").partition("in:")[2].split(",")
        return answer(200, {"traits": [each for each in asked if each.endswith("0")]})

    client, wire = client_over(known)
    names = [f"CUSTOM_{'X' * 40}_{number}" for number in range(250)]
    assert client.existing_traits(names) == {each for each in names if each.endswith("0")}
    assert len(wire.sent) == 3
    assert max(len(each.url or "") for each in wire.sent) < 8192
    assert client.existing_traits([]) == frozenset()


def test_question_whether_we_may_reshape() -> None:
    """Placement refuses to do nothing, but only after it has looked at who asks."""
    client, wire = client_over(lambda _request: error(400))
    client.check_may_reshape()
    assert sent_json(wire.sent[0]) == {"inventories": {}, "allocations": {}}
    client, _ = client_over(lambda _request: error(403))
    with pytest.raises(errors.Forbidden):
        client.check_may_reshape()
    client, _ = client_over(lambda _request: answer(503))
    with pytest.raises(errors.Unavailable):
        client.check_may_reshape()


def test_roles_are_those_of_the_header_or_not_told() -> None:
    client, _ = client_over(lambda _request: answer(204))
    assert client.roles() is None
    client._adapter.additional_headers["X-Roles"] = "admin, service"
    assert client.roles() == frozenset({"admin", "service"})


def test_label_is_the_url_unless_another_is_given() -> None:
    client, _ = client_over(lambda _request: answer(204))
    assert client.label == client.endpoint == URL
    assert PlacementClient(client._adapter, label="embedded").label == "embedded"


def test_label_which_plans_and_snapshots_keep_has_no_password() -> None:
    client, _ = client_over(lambda _request: answer(204))
    client._adapter.endpoint_override = "http://me:s3cret@placement.example:8778/placement"
    assert client.label == "http://placement.example:8778/placement"


def test_nothing_has_the_empty_name() -> None:
    """Placement takes it for no filter at all, and lists the providers of others."""
    other = {"uuid": "u", "name": "other", "generation": 0, "parent_provider_uuid": None}
    listing = {"resource_providers": [{**other, "root_provider_uuid": "u"}]}
    client, _ = client_over(lambda _request: answer(200, listing))
    assert client.find_provider("") is None
