"""The neighbourhood of a structure: every move is judged as if misfit and shape were computed anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from cbldm.geometry.frames import EXCLUSION, frame
from cbldm.geometry.site_classes import site_classes
from cbldm.search.habit import habit
from cbldm.search.neighbourhood import Neighbourhood


def ball(name: str, n_atoms: int) -> np.ndarray:
    """Sites nearest to a point that do not clash."""
    classes = site_classes(name)
    sites: list[int] = []
    for site in np.argsort(np.linalg.norm(frame(name).sites - 0.2, axis=1)):
        if len(sites) < n_atoms and not classes.clashes[site, sites].any():
            sites.append(int(site))
    return np.sort(sites)


@pytest.mark.parametrize("name", ["fcc", "stack", "icosahedron"])
def test_every_move_is_judged_as_if_computed_anew(name: str) -> None:
    rng = np.random.default_rng(1)
    classes = site_classes(name)
    home = frame(name)
    sites = ball(name, 30)
    kernel = rng.normal(size=(len(classes.distances), 40)).astype(np.float32)
    kernel[0] = 0
    observed = rng.normal(size=40).astype(np.float32) - kernel.sum(axis=0) / 20
    state = Neighbourhood(classes, lambda found: kernel[found], observed, sites, 3)

    def direct(chosen: np.ndarray) -> float:
        total = kernel[classes.index[np.ix_(chosen, chosen)]].sum(axis=(0, 1)) / 2
        along = max(float(observed @ total), 0.0)
        return float(observed @ observed) - along**2 / float(total @ total)

    def check() -> None:
        inside = state.active[state.inside]
        np.testing.assert_allclose(state.misfit(), direct(inside), rtol=1e-3)
        singles = state.singles()
        for k in rng.choice(len(state.active), 15, replace=False):
            np.testing.assert_allclose(singles[k], direct(np.setxor1d(inside, state.active[[k]])), rtol=2e-3)
        a, b = np.flatnonzero(~state.inside & (state.n_bonds >= 3))[:25], np.flatnonzero(state.inside)[:20]
        pairs = state.pairwise(a, b)
        for i, j in zip(rng.integers(len(a), size=40), rng.integers(len(b), size=40), strict=True):
            carried = np.append(np.setdiff1d(inside, state.active[[b[j]]]), state.active[a[i]])
            if np.isfinite(pairs[i, j]):
                np.testing.assert_allclose(pairs[i, j], direct(carried), rtol=2e-3)
                assert pdist(home.sites[carried]).min() >= EXCLUSION - 1e-9
                assert classes.bonds[state.active[a[i]], carried].sum() >= 3
            else:
                bonds = classes.bonds[state.active[a[i]], carried].sum()
                assert bonds < 3 or classes.clashes[state.active[a[i]], carried].any()

    check()
    state.toggle(int(np.flatnonzero(state.inside)[3]))
    free = np.flatnonzero(~state.inside & (state.n_bonds >= 3) & (state.n_clashes == 0))
    state.toggle(int(free[0]))
    check()


@pytest.mark.parametrize("name", ["fcc", "stack", "hcp"])
def test_every_move_is_charged_what_the_shape_then_costs(name: str) -> None:
    classes, shape = site_classes(name), habit(name).tightened(0.7)
    sites = ball(name, 40)
    kernel = np.zeros((len(classes.distances), 4), dtype=np.float32)
    state = Neighbourhood(classes, lambda found: kernel[found], np.ones(4, dtype=np.float32), sites, 3)

    def direct(chosen: np.ndarray) -> float:
        inside = classes.occupied(chosen)
        return shape.energy(inside) + float(shape.expected(np.array(inside.sum())))

    before, tolls = direct(sites), state.tolls(shape)
    movable = np.flatnonzero(state.inside | ((state.n_bonds >= 3) & (state.n_clashes == 0)))
    for k in movable[::5]:
        after = np.setxor1d(sites, state.active[[k]])
        # Far sites of a single bond are no neighbours of any move.
        assert tolls[k] == pytest.approx(direct(after) - before, abs=1e-6)
    a = np.flatnonzero(~state.inside & (state.n_bonds >= 3) & (state.n_clashes == 0))[:20]
    b = np.flatnonzero(state.inside)[:20]
    carried = state.carry_tolls(shape, tolls, a, b)
    for i, j in zip(range(0, len(a), 3), range(0, len(b), 2), strict=False):
        after = np.append(np.setdiff1d(sites, state.active[[b[j]]]), state.active[a[i]])
        assert carried[i, j] == pytest.approx(direct(after) - before, abs=1e-6)
