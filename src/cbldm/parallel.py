"""Work for the threads that torch was allowed: numpy and torch let go of the interpreter while they count.

The number of threads is torch's own, so ``OMP_NUM_THREADS=1`` or ``torch.set_num_threads(1)`` switches this off, as
where many PDFs are solved at once. Results come in the order of the work and do not depend on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

#: Threads at most: beyond a few they wait for the interpreter.
MOST_THREADS = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_inside = threading.local()


def n_threads() -> int:
    """Threads for work that can be divided; 1 within such work."""
    allowed = getattr(_inside, "allowed", 0) or torch.get_num_threads()
    return 1 if getattr(_inside, "busy", False) else min(MOST_THREADS, allowed)


@contextmanager
def steady() -> Iterator[None]:
    """Torch and BLAS count with one thread within: how a sum is divided changes its last bits.

    `each` still has all threads, and is faster so: BLAS would take all cores in every one of them. (It asks for its
    number of threads only when it is loaded, which is before cbldm where numpy was imported first.)
    """
    before, outer = torch.get_num_threads(), getattr(_inside, "allowed", 0)
    _inside.allowed = outer or before
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        _inside.allowed = outer
        torch.set_num_threads(before)


@contextmanager
def pool(n: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads, in each of which torch has one; what still waits at the end is dropped."""
    before = torch.get_num_threads()
    executor = ThreadPoolExecutor(n, initializer=_begin)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
        # Beginning a thread changed what those that come later are given.
        torch.set_num_threads(before)


def _begin() -> None:
    _inside.busy = True
    torch.set_num_threads(1)


def each(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """What the function makes of each item, in their order.

    >>> each(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    work = list(items)
    n = min(n_threads(), len(work))
    if n < 2:
        return [function(item) for item in work]
    with pool(n) as threads:
        return list(threads.map(function, work))


@contextmanager
def beside(task: Callable[[], _Result]) -> Iterator[Callable[[], _Result]]:
    """Begin a task on a thread of its own where there is more than one; the answer waits for what it gives.

    >>> with beside(lambda: 6 * 7) as answer:
    ...     answer()
    42
    """
    if n_threads() < 2:
        result = task()
        yield lambda: result
        return
    with pool(1) as thread:
        yield thread.submit(task).result


class Once:
    """Pieces of work that depend on nothing but their key: each is done once, whichever thread asks first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Any, Future[Any]] = {}

    def __call__(self, key: Any, work: Callable[[], _Result]) -> _Result:
        """What the work gave; who comes while another thread is at it waits.

        >>> once = Once()
        >>> once("key", lambda: 1), once("key", lambda: 2)
        (1, 1)
        """
        with self._lock:
            mine = key not in self._known
            future: Future[_Result] = self._known.setdefault(key, Future())
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)
        return future.result()


class Scouts:
    """Threads that do what will be needed before its turn comes. What they return and raise is lost: see `Once`."""

    def __init__(self, threads: ThreadPoolExecutor | None, n: int) -> None:
        self.threads, self.n = threads, n

    def send(self, task: Callable[[], object]) -> Callable[[], None]:
        """Begin a task when a thread is free; the answer waits for its end."""
        if self.threads is None:
            return lambda: None
        futures = [self.threads.submit(task)]

        def finished() -> None:
            wait(futures)

        return finished


@contextmanager
def scouting() -> Iterator[Scouts]:
    """As many scouts as there are threads; none where there is one only."""
    n = n_threads()
    if n < 2:
        yield Scouts(None, 1)
        return
    with pool(n) as threads:
        yield Scouts(threads, n)
