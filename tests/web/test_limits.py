import pytest

from cbldm.errors import InputError
from cbldm.web.limits import Limits


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.7", "::1", "localhost"])
def test_this_machine_alone(host):
    assert Limits(host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "beamline.example"])
def test_others_reach_it(host):
    assert not Limits(host).is_loopback


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", 65536), ("max_upload", 65), ("max_upload", float("nan")), ("max_files", 0), ("time_limit", 0),
     ("queue", -1), ("jobs", 0)],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(name, value):
    with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} must be "):
        Limits(**{name: value})


def test_a_body_holds_what_may_be_uploaded():
    limits = Limits(max_upload=3)
    assert limits.max_body > 4 * 3e6 / 3
    assert limits.max_body < 2 * 3e6
