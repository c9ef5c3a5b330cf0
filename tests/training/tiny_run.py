"""`python -m cbldm.training` with few validation shapes and no card, for tests that need processes of their own.

It ends before step ``STOP_BEFORE`` of the first stage where that is set.
"""

import os
import sys

import torch

from cbldm.geometry.frames import FRAMES
from cbldm.training import learner, loop
from cbldm.training.__main__ import main

rate = learner.rate


def rate_until_stopped(settings, step, warm_from=0):
    if step == int(os.environ.get("STOP_BEFORE", "-1")):
        # Both processes stop here, without a word to each other, as when a machine is switched off.
        os._exit(3)
    return rate(settings, step, warm_from)


if __name__ == "__main__":
    torch.set_num_threads(1)
    loop.N_VALIDATION, loop.FRAMES = 2, (FRAMES[0], FRAMES[5])
    loop.write_card = lambda *_: None
    learner.rate = rate_until_stopped
    sys.exit(main())
