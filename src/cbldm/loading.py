"""How a command loads what it needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Modules are imported within. They stay, so no garbage is looked for among them: half a second for torch.

    For processes of our own only: it freezes whatever there is.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
