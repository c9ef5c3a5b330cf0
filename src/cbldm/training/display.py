"""What a run shows while it runs: a bar where rich is installed, otherwise a plain line each minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds between plain lines.
PAUSE = 60.0


@contextmanager
def display(stage: str, first: int, total: int, quiet: bool) -> Iterator[Callable[[int, float], None]]:
    """Show the progress of a stage.

    Args:
        stage: Its name.
        first: Steps that are done already.
        total: Its steps.
        quiet: Show nothing.

    Yields:
        To be called with the steps that are done and the mean loss.
    """
    if quiet:
        yield lambda done, loss: None
        return
    try:
        from rich import progress
    except ModuleNotFoundError:
        yield _lines(stage, first, total)
        return
    text = progress.TextColumn
    columns = (text("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn(),
               progress.TimeElapsedColumn(), progress.TimeRemainingColumn(), text("{task.fields[loss]}"))  # fmt: skip
    with progress.Progress(*columns) as bar:
        task = bar.add_task(stage, total=total, completed=first, loss="")
        yield lambda done, loss: bar.update(task, completed=done, loss=f"loss {loss:.3f}")


def _lines(stage: str, first: int, total: int) -> Callable[[int, float], None]:
    begin = last = time.monotonic()

    def show(done: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PAUSE or done == total:
            last = now
            left = (now - begin) / (done - first) * (total - done)
            print(f"{stage} {done}/{total}, loss {loss:.3f}, {left / 60:.0f} min left", flush=True)

    return show
