"""What the command line makes of its environment: the home, ports, numbers and servers of one's own."""

import json
import socket
from pathlib import Path

import pytest

from controlplane.cli import doctor, services
from controlplane.cli.errors import CliError
from controlplane.cli.externals import externals_check
from controlplane.cli.home import ROOT, Home, home_find, home_prepare, home_remove, ports_choose
from controlplane.cli.lifecycle import everything_stop, manage_error

PORTS = {"web": 18420, "postgres": 18421, "redis": 18422, "tenant_base": 21000}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("FREEHOLD_PORT", "FREEHOLD_TENANT_PORT_BASE", "FREEHOLD_MAX_OPERATIONS"):
        monkeypatch.delenv(name, raising=False)
    home = Home(tmp_path / "home")
    home_prepare(home)
    (home.run / "ports.json").write_text(json.dumps(PORTS))
    return home


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_the_doctor_names_what_is_wrong_with_the_targets_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.secrets / "secret_key").write_text("s" * 40)
    path = tmp_path / "targets.toml"
    path.write_text('[aws]\naccount_id = "12"\n')
    monkeypatch.setenv("FREEHOLD_TARGETS_FILE", str(path))
    check = doctor._settings(home)
    assert not check.ok
    assert f"FREEHOLD_TARGETS_FILE: {path}: aws.account_id: found '12'" in check.detail


def test_an_empty_home_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_HOME", "")
    assert home_find().root == ROOT / ".freehold"


def test_another_port_while_running_is_refused_and_writes_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREEHOLD_PORT", "18500")
    with pytest.raises(CliError, match="runs on port 18420 already"):
        ports_choose(home, running=True)
    assert json.loads((home.run / "ports.json").read_text()) == PORTS
    monkeypatch.setenv("FREEHOLD_PORT", "18420")
    assert ports_choose(home, running=True).web == 18420


@pytest.mark.parametrize("value", ["abc", "-1", "99999"])
@pytest.mark.parametrize("name", ["FREEHOLD_PORT", "FREEHOLD_TENANT_PORT_BASE"])
def test_a_malformed_port_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CliError, match=f"{name}: found '{value}'; wanted a whole number from 1024"):
        ports_choose(home, running=False)


def test_a_malformed_number_of_operations_is_named_and_does_not_stop_down(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREEHOLD_MAX_OPERATIONS", "abc")
    with pytest.raises(CliError, match="FREEHOLD_MAX_OPERATIONS: found 'abc'"):
        services.threads()
    assert everything_stop(home) == []


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgres://user:hidden%21word@127.0.0.1:{}/freehold"),
        ("REDIS_URL", "redis://:hidden%21word@127.0.0.1:{}/0"),
    ],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_an_unreachable_server_is_named_without_its_password(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed_port: int,
    name: str,
    url: str,
    by_file: bool,
) -> None:
    for variable in ("DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE"):
        monkeypatch.delenv(variable, raising=False)
    url = url.format(closed_port)
    if by_file:
        (tmp_path / "url").write_text(url + "\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "url"))
    else:
        monkeypatch.setenv(name, url)
    with pytest.raises(CliError) as caught:
        externals_check()
    told = json.dumps(caught.value.to_json())
    assert caught.value.message.startswith(f"{name}: ")
    assert f"127.0.0.1:{closed_port}" in told
    assert name in caught.value.hint
    assert "hidden" not in told


def test_of_a_refused_setting_only_its_own_words_are_said() -> None:
    words = "Freehold cannot start:\n  FREEHOLD_PORT: found 'x'; wanted a whole number"
    error = manage_error(
        "migrate", f"Traceback (most recent call last):\n  File x\nConfigurationError: {words}\n"
    )
    assert error.message == words
    assert "`manage.py migrate` failed" in manage_error("migrate", "boom").message


def test_only_a_freehold_home_is_removed(home: Home, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "secrets").mkdir(parents=True)
    with pytest.raises(CliError, match="not a Freehold home"):
        home_remove(Home(precious))
    assert precious.exists()
    with pytest.raises(CliError, match="not a Freehold home"):
        home_remove(Home(ROOT))
    assert home_remove(home) is True
    assert not home.root.exists()
    assert home_remove(home) is False
