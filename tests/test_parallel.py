"""Threads change the time that work takes, never what it gives."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from cbldm.parallel import Once, beside, each, n_threads, scouting


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_the_order_of_the_work() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 * (3 - number))
        return number**2

    assert each(work, range(4)) == [0, 1, 4, 9]


@pytest.mark.usefixtures("two_threads")
def test_two_pieces_of_work_are_under_way_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    each(lambda _: both.wait(), range(2))


@pytest.mark.usefixtures("one_thread")
def test_one_thread_does_everything_itself() -> None:
    assert set(each(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}
    ran = []
    with scouting() as scouts:
        scouts.send(lambda: ran.append(1))()
    assert not ran


@pytest.mark.usefixtures("two_threads")
def test_a_task_is_done_beside_other_work_in_a_thread_without_others() -> None:
    both = threading.Barrier(2, timeout=10)

    def task() -> int:
        both.wait()
        return n_threads()

    with beside(task) as answer:
        both.wait()
        assert (answer(), answer()) == (1, 1)


@pytest.mark.usefixtures("one_thread")
def test_one_thread_does_a_task_before_anything_else() -> None:
    done = []
    with beside(lambda: done.append(1)):
        assert done == [1]


@pytest.mark.usefixtures("two_threads")
def test_an_error_beside_is_raised_where_the_answer_is_asked_for() -> None:
    with beside(lambda: 1 // 0) as answer, pytest.raises(ZeroDivisionError):
        answer()


@pytest.mark.usefixtures("two_threads")
def test_divided_work_is_not_divided_again_and_torch_gets_its_threads_back() -> None:
    assert each(lambda _: (n_threads(), torch.get_num_threads()), range(2)) == [(1, 1), (1, 1)]
    assert (n_threads(), torch.get_num_threads()) == (2, 2)


@pytest.mark.usefixtures("two_threads")
def test_errors_of_the_work_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        each(lambda number: 1 // number, range(3))


@pytest.mark.usefixtures("two_threads")
def test_errors_of_scouts_are_not() -> None:
    with scouting() as scouts:
        scouts.send(lambda: 1 // 0)()


def test_work_is_done_once_by_whoever_asks_first() -> None:
    once, runs = Once(), []

    def work() -> int:
        time.sleep(0.05)
        runs.append(threading.get_ident())
        return len(runs)

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(once("key", work))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1]


def test_an_error_is_remembered_too() -> None:
    once = Once()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            once("key", lambda: 1 // 0)
