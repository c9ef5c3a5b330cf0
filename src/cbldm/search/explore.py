"""From the network's samples to the structures worth refining: screened, moved where the data ask for it, weighed.

The samples are proposals and prior of a search for structures of high posterior: all are compared with the data,
the best go through likelihood-guided moves, and each that comes out is weighed by what all samples together say of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from cbldm.geometry.frames import FRAMES, Frame, frame
from cbldm.models.cbldm import Sample
from cbldm.parallel import Scouts, each, scouting
from cbldm.search.moves import Placement, SiteSearch
from cbldm.types import FloatArray, Pdf

#: Bound of log-odds: a single draw of the latent is surer of far sites than the model is.
MOST_ODDS = 4.0
#: Samples of every drawn frame that are followed up whatever their fit.
LEAST_PER_FRAME = 2
#: Structures that go through collective moves too.
DEEP = 4
#: Kicks at most, kicks without a new best before they end, and the structures that are kicked in turn.
KICKS, KICK_PATIENCE, PARENTS = 20, 8, 4
#: Rw below which nothing is left to find.
PERFECT = 0.0012


@dataclass(frozen=True)
class Explored:
    """A structure that came out of the search.

    Attributes:
        sample: The sample that it began as.
        place: Its sites and the parameters that fit them.
        prior: Negative log probability in nats that the samples together give its sites, up to a constant.
        moved: Number of sites that differ from the sample's.
    """

    sample: Sample
    place: Placement
    prior: float
    moved: int


class Belief:
    """What all samples of a frame together think of a structure: a mixture of independent sites, one for each sample.

    Args:
        home: The frame.
        log_odds: (n_samples, n_sites), bounded.
        share: Probability of the frame.
        search: Knows what atom counts and missing bonds cost.
    """

    def __init__(self, home: Frame, log_odds: FloatArray, share: float, search: SiteSearch) -> None:
        self.home, self.log_odds, self.search = home, log_odds, search
        self.empty = -np.logaddexp(0.0, log_odds).sum(axis=1)
        self.log_share = float(np.log(max(share, 1e-6)))
        self.liked = self._shape(np.maximum(log_odds, 0.0).sum(axis=1))

    def cost(self, sites: NDArray[np.int64]) -> float:
        """Negative log probability of occupied sites in nats, in the likeliest of their equivalent poses."""
        posed = self.home.site_maps[:, sites]
        shape = self._shape(self.log_odds[:, posed].sum(axis=2).max(axis=1))
        return self.liked - self.log_share + self.search.prior.cost(sites, shape - self.liked)

    def _shape(self, inside: FloatArray) -> float:
        """Negative log probability of sites whose log-odds have these sums (n_samples,)."""
        logs = self.search.prior.habit.trust * (inside + self.empty)
        top = logs.max()
        return -float(top + np.log(np.mean(np.exp(logs - top))))


@dataclass(frozen=True)
class _Work:
    """A structure with what is needed to go on with it."""

    explored: Explored
    search: SiteSearch
    belief: Belief


def explore(
    pdf: Pdf,
    dnn: float,
    samples: Sequence[Sample],
    *,
    log_counts: FloatArray,
    follow: int,
    watch: Callable[[float], None] = lambda done: None,
) -> tuple[list[Explored], list[Explored]]:
    """Compare samples with the data, and improve the best of them.

    Args:
        pdf: The data.
        dnn: Estimated nearest-neighbour distance in Å.
        samples: From the model.
        log_counts: (n_frames, n) log probability of each atom count, -inf where it is not allowed.
        follow: How many are improved.
        watch: Told the share of the work that is done.

    Returns:
        All samples as they were drawn, best fit first, and the distinct structures that the best of them became, the
        most probable first.
    """

    def compared(name: str) -> list[_Work]:
        """The samples of one frame at the sizes that fit."""
        mine = [sample for sample in samples if sample.frame == name]
        odds = np.stack([MOST_ODDS * np.tanh(sample.log_odds / MOST_ODDS) for sample in mine])
        # Moves follow what all samples say together: each alone holds to its own atom count.
        chance = (1 / (1 + np.exp(-odds))).mean(axis=0)
        search = SiteSearch(pdf, name, dnn, np.log(chance) - np.log1p(-chance), log_counts[FRAMES.index(name)])
        belief = Belief(frame(name), odds, len(mine) / len(samples), search)
        places = search.start([sample.sites for sample in mine])
        return [
            _Work(Explored(sample, place, belief.cost(place.sites), 0), search, belief)
            for sample, place in zip(mine, places, strict=True)
        ]

    drawn = [item for found in each(compared, sorted({sample.frame for sample in samples})) for item in found]
    drawn.sort(key=lambda item: item.explored.place.misfit)
    work = _promising(drawn, follow)
    total = len(work) + min(DEEP, len(work)) + KICKS
    ends: dict[tuple[str, bytes], _Work] = {}
    with scouting() as scouts:
        waits = [scouts.send(partial(_scout_descent, begin)) for begin in work]
        for number, (begin, wait) in enumerate(zip(work, waits, strict=True), start=1):
            wait()
            _add(ends, begin, begin.search.descend(begin.explored.place))
            watch(number / total)
        deep = _best(ends, DEEP)
        waits = [scouts.send(partial(_scout_improvement, end)) for end in deep]
        for number, (end, wait) in enumerate(zip(deep, waits, strict=True), start=len(work) + 1):
            wait()
            _add(ends, end, end.search.improve(end.explored.place))
            watch(number / total)
        for number in _kick(ends, scouts):
            watch((total - KICKS + number + 1) / total)
    weighed = sorted((end.explored for end in ends.values()), key=lambda item: item.place.data + item.prior)
    return [item.explored for item in drawn], weighed


def _kick(ends: dict[tuple[str, bytes], _Work], scouts: Scouts) -> Iterator[int]:
    """Search from kicked structures and add where that ends; yields the number of each kick."""
    rng, last, lowest = np.random.default_rng(0), 0, _best(ends, 1)[0].explored.place.energy
    plan: deque[_Kick] = deque()
    planned_for: list[_Work] = []
    for number in range(KICKS):
        parents = _best(ends, PARENTS)
        if number - last >= KICK_PATIENCE or parents[0].explored.place.misfit < PERFECT**2:
            break
        if list(map(id, parents)) != list(map(id, planned_for)):
            plan.clear()
            planned_for = parents
        # What comes after this kick if it changes nothing is worked on meanwhile.
        while len(plan) < scouts.n:
            plan.append(_Kick.of(parents, number + len(plan), plan[-1].rng if plan else rng, scouts))
        kick = plan.popleft()
        rng = kick.rng
        if kick.start is not None:
            kick.wait()
            place = kick.parent.search.settle(kick.start)
            _add(ends, kick.parent, place)
            if place.energy < lowest - 0.5:
                lowest, last = place.energy, number
        yield number


@dataclass(frozen=True)
class _Kick:
    """A kicked structure.

    Attributes:
        parent: What was kicked.
        start: What it became; None where that was not sound.
        rng: The source of randomness after it.
        wait: Returns when a scout has been there.
    """

    parent: _Work
    start: Placement | None
    rng: np.random.Generator
    wait: Callable[[], None]

    @classmethod
    def of(cls, parents: Sequence[_Work], number: int, rng: np.random.Generator, scouts: Scouts) -> _Kick:
        """Parents are kicked in turn, every other time towards another one."""
        rng = deepcopy(rng)
        parent = parents[number % len(parents)]
        mates = [p.explored.place for p in parents if p is not parent and p.search is parent.search]
        mate = mates[rng.integers(len(mates))] if mates and number % 2 else None
        start = parent.search.kicked(parent.explored.place, mate, rng)
        if start is None:
            return cls(parent, None, rng, lambda: None)
        return cls(parent, start, rng, scouts.send(lambda: parent.search.scout().settle(start)))


def _scout_descent(begin: _Work) -> None:
    begin.search.scout().descend(begin.explored.place)


def _scout_improvement(end: _Work) -> None:
    end.search.scout().improve(end.explored.place)


def _best(ends: dict[tuple[str, bytes], _Work], n: int) -> list[_Work]:
    """The n structures of least energy."""
    return sorted(ends.values(), key=lambda end: end.explored.place.energy)[:n]


def _add(ends: dict[tuple[str, bytes], _Work], begin: _Work, place: Placement) -> None:
    """Keep where a search ended, once however it is turned."""
    home = begin.belief.home
    moved = len(np.setxor1d(place.sites, begin.explored.sample.sites))
    found = Explored(begin.explored.sample, place, begin.belief.cost(place.sites), moved)
    key = (home.name, _canonical(home, place.sites).tobytes())
    ends.setdefault(key, _Work(found, begin.search, begin.belief))


def _promising(drawn: Sequence[_Work], follow: int) -> list[_Work]:
    """The distinct samples of least energy, and some of every frame whatever their fit."""
    seen: set[tuple[str, bytes]] = set()
    per_frame: dict[str, int] = {}
    first: list[_Work] = []
    rest: list[_Work] = []
    for item in sorted(drawn, key=lambda item: item.explored.place.energy):
        name = item.explored.sample.frame
        key = (name, item.explored.sample.sites.tobytes())
        if key in seen:
            continue
        seen.add(key)
        per_frame[name] = per_frame.get(name, 0) + 1
        (first if per_frame[name] <= LEAST_PER_FRAME else rest).append(item)
    return (first + rest)[:follow]


def _canonical(home: Frame, sites: NDArray[np.int64]) -> NDArray[np.int64]:
    occupied = torch.zeros(1, home.n_sites, dtype=torch.bool)
    occupied[0, sites] = True
    return np.flatnonzero(home.canonical(occupied)[0].numpy())
