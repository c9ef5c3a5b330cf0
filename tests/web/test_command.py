"""cbldm app: what it needs, what it warns of, and where it listens."""

import socket
import sys
from types import ModuleType

import pytest
from typer.testing import CliRunner

from cbldm.cli import app
from cbldm.errors import InputError
from cbldm.web.app import _listen
from cbldm.web.limits import Limits


@pytest.fixture
def served(monkeypatch):
    """What the server was asked for, by a stand-in that serves nothing."""
    asked = []
    stand_in = ModuleType("cbldm.web.app")
    stand_in.serve = lambda limits, announce: asked.append(limits) or announce("http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "cbldm.web.app", stand_in)
    return asked


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys.modules["cbldm.cli.app"], "find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["app"], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr == "cbldm app needs gradio: pip install 'cbldm[app]'\n"


def test_the_defaults_are_for_this_machine_alone(served):
    result = CliRunner().invoke(app, ["app"], catch_exceptions=False)
    assert served == [Limits()]
    assert "warning" not in result.stderr
    assert "http://127.0.0.1:1" in result.stderr


def test_an_open_address_is_warned_of(served):
    words = ["app", "--host", "0.0.0.0", "--queue", "3", "--time-limit", "60"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert served == [Limits("0.0.0.0", queue=3, time_limit=60)]
    assert "warning: 0.0.0.0 is open to the network" in result.stderr


def test_a_wrong_limit_starts_nothing(served):
    with pytest.raises(InputError, match="--jobs must be 1 to 64"):
        CliRunner().invoke(app, ["app", "--jobs", "0"], catch_exceptions=False)
    assert served == []


def test_an_address_that_cannot_be_had_is_said():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be listened on"):
            _listen(Limits(port=port))
    with pytest.raises(InputError, match=r"--host '999\.1\.1\.1' is no address"):
        _listen(Limits(host="999.1.1.1"))
    with _listen(Limits(port=0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
