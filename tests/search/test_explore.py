"""From samples to structures: every frame gets its chance, the mixture of samples weighs, and the data decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cbldm.data.clusters import octahedron
from cbldm.geometry.frames import FRAMES, frame
from cbldm.models.cbldm import Sample
from cbldm.models.vae import EXTRA, FIELDS, Decoded
from cbldm.search.explore import MOST_ODDS, Belief, explore
from cbldm.search.moves import SiteSearch
from tests.search.test_moves import DNN, damaged, simulated, sites_of

CLUSTER = octahedron(5, 1)
COUNTS = np.full((len(FRAMES), 257), -5.0)


def sample(name: str, sites: np.ndarray, sure: float = 4.0) -> Sample:
    odds = np.full(frame(name).n_sites, -sure)
    odds[sites] = sure
    quiet = Decoded(torch.as_tensor(odds)[None], torch.zeros(1, 1), torch.zeros(1, FIELDS, 3 + EXTRA))
    return Sample(name, sites, odds, quiet)


def canonical(name: str, sites: np.ndarray) -> np.ndarray:
    occupied = torch.zeros(1, frame(name).n_sites, dtype=torch.bool)
    occupied[0, sites] = True
    return np.flatnonzero(frame(name).canonical(occupied)[0].numpy())


def test_damaged_samples_become_the_truth_once() -> None:
    truth = sites_of(CLUSTER, "fcc")
    samples = [sample("fcc", damaged(truth, "fcc", 3, 1, seed)) for seed in range(4)]
    drawn, found = explore(simulated(CLUSTER.positions), DNN, samples, log_counts=COUNTS, follow=3)
    assert len(drawn) == 4
    assert [item.place.misfit for item in drawn] == sorted(item.place.misfit for item in drawn)
    assert all(item.moved == 0 for item in drawn)
    assert len(found[0].place.sites) == len(truth)
    assert found[0].place.misfit < 1e-5
    assert 1 <= found[0].moved <= 8
    ends = [canonical("fcc", item.place.sites).tobytes() for item in found]
    assert len(set(ends)) == len(ends)


def test_every_frame_that_was_drawn_is_followed() -> None:
    truth = sites_of(CLUSTER, "fcc")
    home = frame("bcc")
    ball = np.sort(np.argsort(np.linalg.norm(home.sites, axis=1))[:60])
    samples = [sample("fcc", damaged(truth, "fcc", 2, 1, seed)) for seed in range(5)] + [sample("bcc", ball)]
    _, found = explore(simulated(CLUSTER.positions), DNN, samples, log_counts=COUNTS, follow=3)
    assert {item.sample.frame for item in found} == {"fcc", "bcc"}
    assert found[0].sample.frame == "fcc"


def test_the_number_of_threads_changes_nothing() -> None:
    truth = sites_of(CLUSTER, "fcc")
    ball = np.sort(np.argsort(np.linalg.norm(frame("bcc").sites, axis=1))[:60])
    samples = [sample("fcc", damaged(truth, "fcc", 6, 4, seed)) for seed in range(3)] + [sample("bcc", ball)]
    pdf = simulated(CLUSTER.positions)
    noise = np.random.default_rng(0).normal(0, 0.1 * pdf.g.std(), len(pdf.g))
    before, found = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            found.append(explore(replace(pdf, g=pdf.g + noise), DNN, samples, log_counts=COUNTS, follow=3))
    finally:
        torch.set_num_threads(before)
    for alone, together in zip(*(drawn + ends for drawn, ends in found), strict=True):
        np.testing.assert_array_equal(alone.place.sites, together.place.sites)
        assert (alone.place.theta, alone.place.energy, alone.prior) == (
            together.place.theta, together.place.energy, together.prior
        )  # fmt: skip


def belief(samples: list[np.ndarray]) -> Belief:
    home = frame("fcc")
    odds = np.stack([sample("fcc", sites).log_odds for sites in samples])
    search = SiteSearch(simulated(CLUSTER.positions), "fcc", DNN)
    return Belief(home, MOST_ODDS * np.tanh(odds / MOST_ODDS), 1.0, search)


def test_belief_is_the_same_in_every_pose_and_falls_with_distance() -> None:
    truth = sites_of(CLUSTER, "fcc")
    near, far = damaged(truth, "fcc", 2, 1), damaged(truth, "fcc", 10, 8)
    weigh = belief([truth, near])
    for operation in (5, 17, 40):
        turned = np.sort(frame("fcc").site_maps[operation][near])
        np.testing.assert_allclose(weigh.cost(turned), weigh.cost(near), atol=1e-6)
    assert weigh.cost(truth) < weigh.cost(far) - 5


def test_a_mixture_likes_each_of_its_parts() -> None:
    truth = sites_of(CLUSTER, "fcc")
    other = damaged(truth, "fcc", 12, 8)
    both, alone = belief([truth, other]), belief([truth])
    # Half the weight each: log 2 less than a part alone says, and far more than the other part says.
    assert abs(both.cost(truth) - alone.cost(truth) - np.log(2)) < 0.01
    assert both.cost(other) < alone.cost(other) - 5
