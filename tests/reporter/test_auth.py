"""Finding a Placement: what is sent where, and what is said when the configuration cannot work."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from reporter import auth
from reporter.errors import ConfigurationError
from reporter.options import load_config
from reporter.placement.client import PlacementClient
from reporter.placement.errors import AuthenticationFailed, PlacementError, Unreachable


class Cloud:
    """A Keystone that knows one user, and a Placement in its catalog; both only record what they get."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                cloud.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, content = cloud.respond(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def respond(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path.endswith("/v3/auth/tokens"):
            return (
                201,
                {"X-Subject-Token": "token-from-keystone"},
                json.dumps({"token": self.token()}).encode(),
            )
        if path.startswith("/moved"):
            return 302, {"Location": f"{self.url}/elsewhere"}, b""
        return 200, {"Content-Type": "application/json"}, b"{}"

    def token(self) -> dict[str, Any]:
        endpoints = [
            {"id": f"{region}-{interface}", "interface": interface, "region": region, "region_id": region,
             "url": f"{self.url}/placement/{region}/{interface}"}
            for region in ("One", "Two")
            for interface in ("public", "internal", "admin")
        ]  # fmt: skip
        return {
            "methods": ["password"],
            "user": {"id": "u", "name": "placement", "domain": {"id": "default", "name": "Default"}},
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "project": {"id": "p", "name": "service", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "service"}],
            "catalog": [{"id": "c", "type": "placement", "name": "placement", "endpoints": endpoints}],
        }

    def paths(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _, _ in self.requests]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.server.shutdown()
    made.server.server_close()


PASSWORD = """
[placement]
auth_type = v3password
auth_url = {url}/v3
username = placement
password = s3cret$$word
user_domain_name = Default
project_name = service
project_domain_name = Default
"""


@pytest.fixture
def configure(tmp_path: Path, cloud: Cloud) -> Callable[[str], Any]:
    def configure_(text: str) -> Any:
        path = tmp_path / "nova.conf"
        path.write_text(text.replace("{url}", cloud.url))
        return load_config([path])

    return configure_


def refusal(conf: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        auth.adapter_from_conf(conf)
    assert "s3cret" not in caught.value.what + caught.value.advice
    assert "\n" not in caught.value.what
    return caught.value


class TestConfiguration:
    def test_password_asks_for_one_token_and_discovers_nothing(self, configure: Any, cloud: Cloud) -> None:
        adapter = auth.adapter_from_conf(configure(PASSWORD))
        assert cloud.requests == []
        adapter.get("/resource_providers?in_tree=x")
        adapter.get("/resource_providers?in_tree=x")
        assert cloud.paths() == [
            ("POST", "/v3/auth/tokens"),
            ("GET", "/placement/One/internal/resource_providers?in_tree=x"),
            ("GET", "/placement/One/internal/resource_providers?in_tree=x"),
        ]
        body = json.loads(cloud.requests[0][3])
        assert body["auth"]["identity"]["password"]["user"]["password"] == "s3cret$word"
        headers = cloud.requests[1][2]
        assert headers["X-Auth-Token"] == "token-from-keystone"
        assert headers["OpenStack-API-Version"] == "placement 1.39"
        assert headers["User-Agent"].startswith(f"{auth.user_agent()} keystoneauth1/")

    def test_region_and_interfaces(self, configure: Any, cloud: Cloud) -> None:
        text = PASSWORD + "region_name = Two\nvalid_interfaces = admin,public\n"
        adapter = auth.adapter_from_conf(configure(text))
        assert adapter.get_endpoint() == f"{cloud.url}/placement/Two/admin"

    def test_application_credential(self, configure: Any, cloud: Cloud) -> None:
        conf = configure(
            "[placement]\nauth_type = v3applicationcredential\nauth_url = {url}/v3\n"
            "application_credential_id = abc\napplication_credential_secret = s3cret\n"
        )
        auth.adapter_from_conf(conf).get("/")
        identity = json.loads(cloud.requests[0][3])["auth"]["identity"]
        assert identity["application_credential"] == {"id": "abc", "secret": "s3cret"}

    def test_http_basic(self, configure: Any, cloud: Cloud) -> None:
        conf = configure(
            "[placement]\nauth_type = http_basic\nusername = u\npassword = p\nendpoint_override = {url}/x\n"
        )
        auth.adapter_from_conf(conf).get("/traits")
        assert cloud.paths() == [("GET", "/x/traits")]
        assert cloud.requests[0][2]["Authorization"] == "Basic dTpw"

    @pytest.mark.parametrize("option", ["endpoint_override", "endpoint"])
    def test_none(self, configure: Any, cloud: Cloud, option: str) -> None:
        conf = configure(f"[placement]\nauth_type = none\n{option} = {{url}}/x\n")
        auth.adapter_from_conf(conf).get("/traits")
        assert cloud.paths() == [("GET", "/x/traits")]

    def test_credentials_of_another_section(self, configure: Any, cloud: Cloud) -> None:
        conf = configure(
            PASSWORD.replace("[placement]", "[keystone_authtoken]")
            + "[placement]\nauth_section = keystone_authtoken\nregion_name = Two\n"
        )
        assert auth.adapter_from_conf(conf).get_endpoint() == f"{cloud.url}/placement/Two/internal"

    def test_old_name_of_the_authentication(self, configure: Any, cloud: Cloud) -> None:
        conf = configure(PASSWORD.replace("auth_type", "auth_plugin"))
        assert auth.adapter_from_conf(conf).get_endpoint() == f"{cloud.url}/placement/One/internal"

    def test_timeouts_and_retries(self, configure: Any) -> None:
        adapter = auth.adapter_from_conf(configure(PASSWORD))
        assert adapter.session.timeout == 30
        conf = configure(PASSWORD + "timeout = 5\nconnect_retries = 3\nstatus_code_retries = 2\n")
        adapter = auth.adapter_from_conf(conf)
        assert (adapter.session.timeout, adapter.connect_retries, adapter.status_code_retries) == (5, 3, 2)

    def test_certificates(self, configure: Any, tmp_path: Path) -> None:
        authority = tmp_path / "ca.pem"
        authority.touch()
        session = auth.adapter_from_conf(configure(PASSWORD + f"cafile = {authority}\n")).session
        assert session.verify == str(authority)
        assert auth.adapter_from_conf(configure(PASSWORD + "insecure = yes\n")).session.verify is False

    def test_redirects_are_not_followed(self, configure: Any, cloud: Cloud) -> None:
        text = "[placement]\nauth_type = none\nendpoint_override = {url}/moved\n"
        response = auth.adapter_from_conf(configure(text)).get("/traits", raise_exc=False)
        assert response.status_code == 302
        assert cloud.paths() == [("GET", "/moved/traits")]


class TestRefusals:
    def test_nothing_is_configured(self, configure: Any) -> None:
        error = refusal(configure(""))
        assert error.what == "no Placement is configured: [placement] auth_type is not set"
        for way in ("--os-cloud", "--placement", "--embedded"):
            assert way in error.advice

    def test_unknown_authentication(self, configure: Any, tmp_path: Path) -> None:
        error = refusal(configure("[placement]\nauth_type = pasword\n"))
        assert error.what == f"{tmp_path / 'nova.conf'}: [placement]: there is no authentication 'pasword'"
        assert "password" in error.advice

    def test_missing_setting(self, configure: Any, tmp_path: Path) -> None:
        error = refusal(configure("[placement]\nauth_type = password\npassword = s3cret\n"))
        assert f"{tmp_path / 'nova.conf'}: [placement]: auth_type password needs auth_url" in error.what
        assert error.advice == "set auth_url in [placement]"

    def test_half_an_application_credential(self, configure: Any) -> None:
        text = "[placement]\nauth_type = v3applicationcredential\nauth_url = {url}\n"
        assert "application credential" in refusal(configure(text)).what

    @pytest.mark.parametrize("kind", ["none", "http_basic"])
    def test_no_endpoint_without_a_catalog(self, configure: Any, kind: str) -> None:
        text = f"[placement]\nauth_type = {kind}\nusername = u\npassword = s3cret\n"
        assert "endpoint_override" in refusal(configure(text)).advice

    @pytest.mark.parametrize("option", ["cafile", "certfile", "keyfile"])
    def test_missing_certificate(self, configure: Any, option: str) -> None:
        error = refusal(configure(PASSWORD + f"{option} = /absent.pem\n"))
        assert f"[placement] {option}: /absent.pem cannot be read: No such file" in error.what

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("timeout = soon", "[placement] timeout = soon is not valid"),
            ("timeout = 0", "timeout must be more than 0"),
            ("insecure = perhaps", "[placement] insecure = perhaps is not valid"),
            ("valid_interfaces = pubic", "'pubic' is no interface"),
            ("connect_retries = many", "[placement] connect_retries = many is not valid"),
        ],
    )
    def test_wrong_values(self, configure: Any, line: str, expected: str) -> None:
        assert expected in refusal(configure(f"{PASSWORD}{line}\n")).what

    def test_dollar_in_a_password_is_explained_without_it(self, configure: Any) -> None:
        error = refusal(configure(PASSWORD.replace("s3cret$$word", "top$s3cret")))
        assert "[placement] password is not valid" in error.what
        assert "$$" in error.advice


class TestKeystone:
    """What a Keystone does wrong is told of Keystone, in the time that a request may take."""

    DISCOVERING = PASSWORD.replace("v3password", "password")

    @pytest.fixture
    def fail(self, configure: Any, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
        def fail_(status: int, content: bytes, text: str = self.DISCOVERING) -> PlacementError:
            monkeypatch.setattr(cloud, "respond", lambda _path: (status, {}, content))
            caught: list[BaseException] = []

            def ask() -> None:
                try:
                    PlacementClient(auth.adapter_from_conf(configure(text))).list_providers()
                except PlacementError as error:
                    caught.append(error)

            # Waiting for a lock that it holds itself, keystoneauth1 never comes back.
            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(20)
            assert isinstance(caught[0], PlacementError)
            assert "s3cret" not in str(caught[0])
            return caught[0]

        return fail_

    def test_refusing_even_to_tell_its_versions(self, fail: Any) -> None:
        error = fail(401, b"{}")
        assert isinstance(error, AuthenticationFailed)
        assert "Keystone refused the credentials" in error.what

    @pytest.mark.parametrize(
        ("status", "content"),
        [(200, b"<html>"), (302, b""), (404, b"<html>"), (503, b""), (200, b"[]"), (200, b"{")],
    )
    @pytest.mark.parametrize("kind", ["password", "v3password"])
    def test_answering_something_else(self, fail: Any, status: int, content: bytes, kind: str) -> None:
        error = fail(status, content, PASSWORD.replace("v3password", kind))
        assert isinstance(error, Unreachable)
        assert "Keystone's answer is no token" in error.what
        assert "auth_url" in error.advice

    @pytest.mark.parametrize("kind", ["password", "v3password"])
    @pytest.mark.parametrize("path", ["/v3", ""])
    def test_down(self, configure: Any, kind: str, path: str) -> None:
        text = PASSWORD.replace("v3password", kind).replace("{url}/v3", f"http://127.0.0.1:9{path}")
        with pytest.raises(Unreachable) as caught:
            PlacementClient(auth.adapter_from_conf(configure(text))).list_providers()
        assert "no answer from http://127.0.0.1:9, which is Keystone" in caught.value.what
        assert "auth_url" in caught.value.advice


class TestUrl:
    def test_sends_what_an_open_placement_takes_for_an_administrator(self, cloud: Cloud) -> None:
        adapter = auth.adapter_from_url(f"{cloud.url}/x/")
        adapter.get("/traits")
        method, path, headers, _ = cloud.requests[0]
        assert (method, path) == ("GET", "/x/traits")
        assert headers["X-Auth-Token"] == "admin"
        assert headers["X-Roles"] == "admin,service"
        assert headers["OpenStack-API-Version"] == "placement 1.39"

    def test_loopback_never_goes_through_a_proxy(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(requests.ConnectionError):
            requests.get(cloud.url, timeout=2)
        assert auth.adapter_from_url(cloud.url).get("/traits").ok

    def test_a_clock_that_is_set_back_keeps_no_request_waiting(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        adapter = auth.adapter_from_url(cloud.url)
        before = time.time()
        monkeypatch.setattr(time, "time", lambda: before - 5)
        started = time.monotonic()
        assert adapter.get("/traits").ok
        assert time.monotonic() - started < 3

    @pytest.mark.parametrize(
        "url",
        ["", "placement", "localhost:8778", "ftp://host/", "http://", "http://host:port", "http://[::1"],
    )
    def test_refuses_what_is_no_url(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            auth.adapter_from_url(url)
        assert "is not the URL of a Placement" in caught.value.what


CLOUDS = """
clouds:
  one:
    auth_type: v3password
    auth:
      auth_url: {url}/v3
      username: placement
      password: s3cret
      user_domain_name: Default
      project_name: service
      project_domain_name: Default
    region_name: Two
    interface: admin
  half:
    auth_type: password
    auth: {username: placement, password: s3cret}
  open:
    auth_type: none
    endpoint_override: {url}/x
    placement_endpoint_override: {url}/x
"""


class TestCloudsYaml:
    @pytest.fixture(autouse=True)
    def clouds(self, tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "clouds.yaml"
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
        path.write_text(CLOUDS.replace("{url}", cloud.url))
        return path

    def test_password(self, cloud: Cloud) -> None:
        adapter = auth.adapter_from_cloud("one")
        assert adapter.session.timeout == 30
        adapter.get("/traits")
        assert cloud.paths() == [("POST", "/v3/auth/tokens"), ("GET", "/placement/Two/admin/traits")]
        headers = cloud.requests[1][2]
        assert headers["OpenStack-API-Version"] == "placement 1.39"
        assert headers["User-Agent"].startswith(auth.user_agent())

    def test_no_authentication(self, cloud: Cloud) -> None:
        auth.adapter_from_cloud("open").get("/traits")
        assert cloud.paths() == [("GET", "/x/traits")]

    def test_keystone_that_refuses_to_tell_its_versions_is_asked_once(
        self, cloud: Cloud, clouds: Path
    ) -> None:
        clouds.write_text(clouds.read_text().replace("v3password", "password"))
        assert isinstance(auth.adapter_from_cloud("one").session, auth.AskingOnce)

    def test_unknown_cloud(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            auth.adapter_from_cloud("two")
        assert caught.value.what == "there is no cloud 'two' in clouds.yaml"
        assert caught.value.advice == "it has half, one, open"

    def test_no_file(self, clouds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clouds.unlink()
        monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [])
        with pytest.raises(ConfigurationError) as caught:
            auth.adapter_from_cloud("two")
        assert "no clouds.yaml was found" in caught.value.what

    def test_missing_setting(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            auth.adapter_from_cloud("half")
        assert "auth_url" in caught.value.what

    @pytest.mark.parametrize("text", ["clouds: [", "[1, 2]", "clouds: 3\n", "clouds:\n  two: 3\n", "\x00"])
    def test_broken_file(self, clouds: Path, text: str) -> None:
        clouds.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            auth.adapter_from_cloud("two")
        assert "\n" not in caught.value.what
