"""Reading the configuration: what is taken, what is ignored, and what is said about the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from sysconfig import get_path

import pytest
from oslo_config import cfg

from drivers.errors import UnknownDriver
from reporter.errors import ConfigurationError
from reporter.options import Configuration, load_config
from reporter.options import files as files_module

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_(text: str, name: str = "nova.conf") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_


def refusal(*files: Path, **how: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load_config(files, **how)  # type: ignore[arg-type]  # passed on as they are
    assert "\n" not in caught.value.what
    assert "\n" not in caught.value.advice
    return caught.value


def test_defaults_need_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files_module, "DEFAULT_CONFIG_FILE", tmp_path / "absent.conf")
    conf = load_config()
    assert conf.reporter.driver == "host"
    assert conf.reporter.interval == 60
    assert conf.reporter.jitter == 10
    assert conf.reporter.owner_trait == "CUSTOM_OWNER_PLACEMENT_REPORTER"
    assert (conf.reporter.manage, conf.reporter.reshape, conf.reporter.atomic) == ("tree", "always", "auto")
    assert (conf.reporter.max_shrink_percent, conf.reporter.connections) == (50, 4)
    assert conf.reporter.full_refresh_interval == 3600
    assert conf.reporter.state_dir is None
    assert (conf.initial_cpu_allocation_ratio, conf.reserved_host_memory_mb) == (4.0, 512)


def test_default_file_is_read_where_it_exists(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "DEFAULT_CONFIG_FILE", write("[reporter]\ninterval = 7\n"))
    assert load_config().reporter.interval == 7


def test_default_file_is_not_read_beside_a_named_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        files_module, "DEFAULT_CONFIG_FILE", write("[reporter]\ninterval = 7\njitter = 1", "d.conf")
    )
    conf = load_config([write("[reporter]\njitter = 2\n")])
    assert (conf.reporter.interval, conf.reporter.jitter) == (60, 2)


def test_configurations_share_nothing(write: Write) -> None:
    first = load_config([write("[reporter]\ninterval = 7\n")])
    second = load_config(
        [write("[reporter]\ninterval = 8\n", "b.conf")], overrides={("reporter", "jitter"): 3}
    )
    assert (first.reporter.interval, second.reporter.interval) == (7, 8)
    assert (first.reporter.jitter, second.reporter.jitter, load_config().reporter.jitter) == (10, 3, 10)
    assert "reporter" not in cfg.CONF


class TestOrder:
    def test_later_files_win_then_directories_then_environment(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = "[reporter]\ninterval = {}\n"
        first, second = write(text.format(1), "a.conf"), write(text.format(2), "b.conf")
        assert load_config([first, second]).reporter.interval == 2
        assert load_config([second, first]).reporter.interval == 1
        write(text.format(3), "conf.d/10.conf")
        write(text.format(4), "conf.d/20.conf")
        write(text.format(5), "conf.d/30.conf.bak")
        directory = first.parent / "conf.d"
        assert load_config([first], [directory]).reporter.interval == 4
        monkeypatch.setenv("OS_REPORTER__INTERVAL", "6")
        assert load_config([first], [directory]).reporter.interval == 6

    def test_command_line_goes_before_everything(self, write: Write) -> None:
        path = write("[reporter]\ndriver = nonsense\nstate_dir = /a\n[DEFAULT]\nhost = a\n")
        conf = load_config(
            [path], driver="static", overrides={("reporter", "state_dir"): "/b", ("DEFAULT", "host"): "b"}
        )
        assert (conf.reporter.driver, conf.reporter.state_dir, conf.host) == ("static", "/b", "b")

    def test_location_is_the_file_that_has_the_option(self, write: Write) -> None:
        first = write("[DEFAULT]\ncpu_allocation_ratio = 2\nreserved_host_cpus = 1\n", "first.conf")
        second = write("[DEFAULT]\nram_allocation_ratio = 1\n", "second.conf")
        conf = load_config([first, second])
        assert _detail(conf, "cpu_allocation_ratio") == str(first)
        assert _detail(conf, "reserved_host_cpus") == str(first)
        assert _detail(conf, "ram_allocation_ratio") == str(second)
        location = conf.get_location("disk_allocation_ratio")
        assert location is None or location.location is cfg.Locations.opt_default


def _detail(conf: Configuration, name: str) -> str:
    location = conf.get_location(name)
    assert location is not None
    return str(location.detail)


class TestNovaConf:
    def test_works_as_it_is(self, write: Write) -> None:
        path = write(
            """
[DEFAULT]
# what nova-compute needs and nobody here
transport_url = rabbit://openstack:secret@controller:5672/
compute_driver = libvirt.LibvirtDriver
my_ip = 10.0.0.31
log_dir = /var/log/nova
debug = yes
cpu_allocation_ratio = 0.0
reserved_host_memory_mb = 1024
[api_database]
connection = mysql+pymysql://nova:secret@controller/nova_api
[glance]
api_servers = http://controller:9292
[keystone_authtoken]
www_authenticate_uri = http://controller:5000/
password = secret
[oslo_concurrency]
lock_path = /var/lib/nova/tmp
[placement]
region_name = RegionOne
project_domain_name = Default
auth_type = password
auth_url = http://controller:5000/v3
username = placement
password = secret
os_interface = internal
[vnc]
server_listen = $my_ip
"""
        )
        conf = load_config([path])
        assert (conf.my_ip, conf.reserved_host_memory_mb) == ("10.0.0.31", 1024)

    def test_values_may_name_other_options_of_nova_that_we_have(self, write: Write) -> None:
        conf = load_config([write("[DEFAULT]\nstate_path = /srv/nova\ninstances_path = $state_path/i\n")])
        assert conf.instances_path == "/srv/nova/i"

    def test_values_may_name_where_nova_is_installed(self, write: Write) -> None:
        conf = load_config([write("[DEFAULT]\npybasedir = /opt/nova\nstate_path = $pybasedir/state\n")])
        assert conf.instances_path == "/opt/nova/state/instances"
        assert load_config([write("[DEFAULT]\nstate_path = $pybasedir\n")]).state_path == get_path("purelib")

    def test_groups_of_ours_are_found_in_any_case(self, write: Write) -> None:
        assert load_config([write("[Reporter]\ninterval = 7\n")]).reporter.interval == 7


class TestMisspelt:
    def test_option_of_ours(self, write: Write) -> None:
        path = write("[reporter]\nintervall = 7\n")
        error = refusal(path)
        assert error.what == f"{path}: [reporter] has no option intervall"
        assert error.advice == "did you mean interval?"

    @pytest.mark.parametrize("name", ["full-refresh-interval", "Full_Refresh_Interval"])
    def test_other_spellings_are_not_read_so_they_are_told(self, write: Write, name: str) -> None:
        assert refusal(write(f"[reporter]\n{name} = 7\n")).advice == "did you mean full_refresh_interval?"

    def test_option_that_is_like_none(self, write: Write) -> None:
        assert "interval" in refusal(write("[reporter]\nqwxyz = 7\n")).advice

    def test_option_of_a_driver_that_is_not_used(self, write: Write) -> None:
        error = refusal(write("[static]\npaht = /etc/tree.yaml\n"), driver="host")
        assert error.advice == "did you mean path?"

    def test_group(self, write: Write) -> None:
        assert refusal(write("[reproter]\ninterval = 7\n")).advice == "did you mean [reporter]?"

    def test_driver(self, write: Write) -> None:
        with pytest.raises(UnknownDriver) as caught:
            load_config([write("[reporter]\ndriver = sttaic\n")])
        assert "static" in caught.value.advice

    def test_options_of_a_driver_that_is_not_used_are_fine(self, write: Write) -> None:
        load_config([write("[static]\npath = /etc/tree.yaml\n")], driver="host")
        load_config([write("[reporter]\nlibvirt_time_limit = 5\n")], driver="host")

    def test_groups_of_others_are_not_ours_to_judge(self, write: Write) -> None:
        load_config([write("[libvirt]\ncpu_mdoe = none\n[compute]\nx = 1\n[workarounds]\ny = 2\n")])


class TestWrongValues:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("interval = soon", "a number, at least 1"),
            ("interval = 0", "a number, at least 1"),
            ("interval = nan", "a number, at least 1"),
            ("interval = inf", "a number, at least 1"),
            ("jitter = -1", "a number, at least 0"),
            ("connections = 4.5", "a whole number from 1 to 10"),
            ("connections = 0", "a whole number from 1 to 10"),
            ("connections = 1000", "a whole number from 1 to 10"),
            ("max_shrink_percent = 101", "a number from 0 to 100"),
            ("manage = all", "one of tree, children"),
            ("reshape = sometimes", "one of always, startup, never"),
            ("owner_trait = OWNER_NOVA", "CUSTOM_"),
            ("owner_trait = custom_lower", "CUSTOM_"),
        ],
    )
    def test_names_file_option_value_and_what_it_takes(self, write: Write, line: str, expected: str) -> None:
        path = write(f"[reporter]\n{line}\n")
        error = refusal(path)
        assert error.what == f"{path}: [reporter] {line} is not valid"
        assert expected in error.advice

    def test_of_options_of_nova(self, write: Write) -> None:
        path = write("[DEFAULT]\nreserved_host_memory_mb = 1G\n")
        error = refusal(path)
        assert error.what == f"{path}: [DEFAULT] reserved_host_memory_mb = 1G is not valid"
        assert "a whole number, at least 0" in error.advice

    @pytest.mark.parametrize(
        "line",
        [
            "[reporter]\ninterval =",
            "[DEFAULT]\nreserved_host_disk_mb =",
            "[DEFAULT]\ninitial_cpu_allocation_ratio =",
        ],
    )
    def test_of_empty_numbers(self, write: Write, line: str) -> None:
        error = refusal(write(f"{line}\n"))
        assert "= is not valid" in error.what
        assert "number" in error.advice

    def test_empty_numbers_without_a_default_are_unset(self, write: Write) -> None:
        conf = load_config([write("[DEFAULT]\ncpu_allocation_ratio =\n")])
        assert conf.cpu_allocation_ratio is None

    def test_of_the_environment(self, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
        monkeypatch.setenv("OS_REPORTER__INTERVAL", "soon")
        assert "OS_REPORTER__INTERVAL: [reporter] interval = soon" in refusal(write("")).what

    def test_of_the_command_line(self, write: Write) -> None:
        error = refusal(write(""), overrides={("reporter", "interval"): "soon"})
        assert "[reporter] interval cannot be soon" in error.what

    def test_driver_that_cannot_be_read(self, write: Write) -> None:
        assert "[reporter] driver" in refusal(write("[reporter]\ndriver = $nothing\n")).what

    def test_dollar_that_names_nothing(self, write: Write) -> None:
        error = refusal(write("[DEFAULT]\ninstances_path = /srv/$nothing\n"))
        assert "[DEFAULT] instances_path = /srv/$nothing" in error.what
        assert "$$" in error.advice

    def test_long_values_are_cut(self, write: Write) -> None:
        assert len(refusal(write(f"[reporter]\ninterval = {'9x' * 500}\n")).what) < 300

    def test_no_mark_at_all_is_a_valid_owner(self, write: Write) -> None:
        assert load_config([write("[reporter]\nowner_trait =\n")]).reporter.owner_trait == ""


class TestOptionsReadWhereUsed:
    @pytest.mark.parametrize("value", ["soon", "$nothing", ""])
    def test_wrong_values_do_not_matter_elsewhere(self, write: Write, value: str) -> None:
        pytest.importorskip("libvirt", reason="needs the libvirt extra")
        path = write(f"[libvirt]\nrbd_connect_timeout = {value}\nnum_intel_tdx_guests = {value}\n")
        assert load_config([path], driver="libvirt").libvirt.images_type == "default"


class TestConfigSource:
    def test_of_an_unknown_driver_is_told_and_left_out(
        self, write: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write("[DEFAULT]\nconfig_source = far\nreserved_host_cpus = 1\n[far]\ndriver = nonsense\n")
        assert load_config([path]).reserved_host_cpus == 1
        assert "could not load configuration from 'far'" in caplog.text


class TestUnreadable:
    def test_missing_file(self, tmp_path: Path) -> None:
        error = refusal(tmp_path / "absent.conf")
        assert f"{tmp_path / 'absent.conf'} cannot be read: No such file or directory" in error.what
        assert "--config-file" in error.advice

    def test_directory_for_a_file(self, tmp_path: Path) -> None:
        assert "Is a directory" in refusal(tmp_path).what

    def test_pipe_for_a_file(self, tmp_path: Path) -> None:
        """oslo.config reads the file once more, and would find it empty; or wait, for a writer."""
        path = tmp_path / "pipe.conf"
        os.mkfifo(path)
        assert f"{path} is a pipe" in refusal(path).what

    def test_no_configuration_at_all(self) -> None:
        assert load_config([Path("/dev/null")]).reporter.driver == "host"

    def test_missing_directory(self, tmp_path: Path) -> None:
        error = refusal(config_dirs=[tmp_path / "absent"])
        assert "No such file or directory" in error.what
        assert "--config-dir" in error.advice

    def test_no_permission(
        self, public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
    ) -> None:
        path = public_dir / "nova.conf"
        path.touch(0)
        with unprivileged():
            assert f"{path} cannot be read: Permission denied" in refusal(path).what

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "latin.conf"
        path.write_bytes(b"[reporter]\nowner_trait = \xe9\n")
        assert "is not UTF-8" in refusal(path).what

    @pytest.mark.parametrize(
        ("text", "line"),
        [("[reporter]\ninterval\n", 2), ("interval = 3\n", 1), ("[reporter\n", 1), ("  x = 3\n", 1)],
    )
    def test_line_that_is_no_assignment(self, write: Write, text: str, line: int) -> None:
        path = write(text)
        assert f"{path} is wrong in line {line}" in refusal(path).what

    def test_binary(self, tmp_path: Path) -> None:
        path = tmp_path / "nova.conf"
        path.write_bytes(bytes(range(128)) * 10)
        refusal(path)
