"""How results show themselves: the types name the views here, and the package says who draws them.

So the ground floor knows nothing of what is built upon it, and nothing that draws is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Shown(Protocol):
    """What a notebook shows by itself."""

    def _repr_html_(self) -> str: ...


class Views(Protocol):
    """What draws solutions and candidates."""

    def solution_html(self, solution: Any) -> str:
        """A solution as HTML for a notebook."""

    def candidate_html(self, candidate: Any) -> str:
        """The fit and the structure of a candidate as HTML for a notebook."""

    def structure(self, candidate: Any) -> Shown:
        """The structure of a candidate, to be turned."""

    def fit_figure(self, candidate: Any, width: float) -> Figure:
        """The fit of a candidate."""


_load: list[Callable[[], Views]] = []


def register(load: Callable[[], Views]) -> None:
    """Say what draws from now on; it is loaded when something is drawn."""
    _load[:] = [load]


def views() -> Views:
    """What draws."""
    return _load[0]()
