"""What a process loads at its start is not searched for garbage, what comes later is."""

import gc
import subprocess
import sys
from importlib import import_module

import pytest

from cbldm.loading import loading

SCRIPT = """
import gc
from cbldm.loading import loading
before = [each["collections"] for each in gc.get_stats()]
with loading():
    import torch
assert [each["collections"] for each in gc.get_stats()] == before
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
assert len(gc.get_objects()) < 1000
"""


def test_nothing_is_collected_while_torch_is_loaded():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)


def test_garbage_is_collected_after_a_failed_import():
    try:
        with pytest.raises(ImportError), loading():
            import_module("cbldm.nothing")
        assert gc.isenabled()
    finally:
        gc.unfreeze()
