"""What the ablations count: F1 and atom counts of samples, recognition, and positions recovered from matrices."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import torch

from cbldm.data.stream import Batch, Stream
from cbldm.geometry.frames import FRAMES, frame
from cbldm.geometry.laplacian import affinity, pair_distances, recover_from_affinity, recover_from_distances
from cbldm.geometry.matrices import MatrixKind
from cbldm.geometry.poses import best_rotation
from cbldm.models.cbldm import CbLdm, Sample
from cbldm.pipeline import recover
from cbldm.types import FloatArray, InputUnit

#: Denoiser calls where nothing else is said, as in `cbldm.pipeline`.
USUAL = 8
#: Samples of each PDF.
SAMPLES = 16
#: Atom counts at which clusters are parted for a look at their size.
SIZES = (20, 60, 120, 180, 257)
#: Noise of a matrix as a share of the standard deviation of its off-diagonal entries, clusters, and draws for each.
NOISE, N_NOISY, N_DRAWS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 24, 3
#: The timed case: samples for one PDF of a cluster of about so many atoms.
TIMED, ATOMS = 64, 150
#: A number for each PDF, by the name of the score.
Scores = dict[str, FloatArray]
#: Mean over PDFs and its standard error, by the name of the score.
Summary = dict[str, tuple[float, float]]


@cache
def clusters(per_frame: int, matrix: MatrixKind = "laplacian", unit: InputUnit = "first_peak") -> list[Batch]:
    """Batches of one validation cluster, each measured with an instrument of its own."""
    stream = Stream(90_001, 1, "validation", (SIZES[0], SIZES[-1] - 1), textbook=0.0, matrix=matrix, unit=unit)
    return [stream.batch(number, name) for name in FRAMES for number in range(per_frame)]


def summary(scores: Scores) -> Summary:
    """Mean over PDFs and its standard error."""
    return {
        name: (float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))
        for name, values in scores.items()
    }


def gain(scores: Scores, reference: Scores) -> Summary:
    """By how much scores are higher than others, and the standard error of that, PDF by PDF."""
    return summary({name: scores[name] - reference[name] for name in scores})


def by_size(values: FloatArray, n_atoms: FloatArray) -> list[tuple[float, float]]:
    """Means and standard errors in each range of `SIZES`."""
    return [summary({"": values[(n_atoms >= low) & (n_atoms < high)]})[""] for low, high in pairwise(SIZES)]


def by_frame(values: FloatArray) -> list[float]:
    """Mean of each frame, in the order of `FRAMES`."""
    return values.reshape(len(FRAMES), -1).mean(axis=1).tolist()


def sample_scores(model: CbLdm, per_frame: int, steps: int = USUAL) -> Scores:
    """F1 over the sites and agreement of the atom count, of one sample (its mean) and of the best of 16.

    F1 is in canonical pose, so a sample in an equivalent pose counts as wrong: a lower bound.
    """
    rows = []
    for number, case in enumerate(clusters(per_frame, unit=model.config.unit)):
        generator = torch.Generator().manual_seed(number)
        drawn = model.draw_in_frame(case.frame_index, case.pdf, case.conditions, SAMPLES, generator, steps=steps)
        truth, n = set(case.occupancy[0].nonzero()[:, 0].tolist()), int(case.n_atoms)
        # A sample that came out empty counts as wrong.
        f1, error = np.zeros(SAMPLES), np.full(SAMPLES, np.inf)
        f1[: len(drawn)] = [2 * len(truth & set(s.sites.tolist())) / (len(s.sites) + n) for s in drawn]
        error[: len(drawn)] = [abs(len(s.sites) - n) for s in drawn]
        exact, near = error == 0, error <= 0.05 * n
        distinct = len({s.sites.tobytes() for s in drawn})
        rows.append([f1.mean(), f1.max(), exact.mean(), exact.any(), near.mean(), near.any(), distinct])
    names = ("f1", "f1_best", "exact", "exact_best", "within_5", "within_5_best", "distinct")
    return dict(zip(names, np.array(rows, dtype=np.float64).T, strict=True))


def recognition(model: CbLdm, per_frame: int) -> Scores:
    """Whether the likeliest frame and motif are the right ones."""
    rows = []
    for case in clusters(per_frame, unit=model.config.unit):
        motif = model.estimates(case.pdf, case.conditions)[0]
        home = int(model.frame_share(motif).argmax())
        rows.append([home == case.frame_index, int(motif.argmax()) == int(case.motif)])
    return dict(zip(("frame", "motif"), np.array(rows, dtype=np.float64).T, strict=True))


def true_positions(case: Batch) -> FloatArray:
    """Positions (n_atoms, 3) of a cluster in nearest-neighbour distances."""
    present = case.occupancy[0].numpy()
    return np.asarray(frame(FRAMES[case.frame_index]).sites[present] + case.displacement[0].double().numpy()[present])


def rmsd(truth: FloatArray, found: FloatArray) -> float:
    """RMSD of atoms in the same order, up to rigid motion and reflection."""
    home, away = truth - truth.mean(axis=0), found - found.mean(axis=0)
    return float(np.sqrt(np.mean(np.sum(np.square(away @ best_rotation(home, away).T - home), axis=1))))


def reconstruction(model: CbLdm, per_frame: int) -> Scores:
    """F1 of the translator's reconstruction, RMSD of the positions from its S of the true sites, and time of recovery.

    ``rmsd_sites`` is that of the ideal sites, which a matrix that knows nothing would give.
    """
    rows = []
    for case in clusters(per_frame, model.config.matrix, model.config.unit):
        with torch.no_grad():
            decoded = model.vae.decode(case.frame_index, model.posterior(case).mean)
        found = decoded.logits > 0
        sites = case.occupancy[0].nonzero()[:, 0].numpy()
        name, truth = FRAMES[case.frame_index], true_positions(case)
        sample = Sample(name, sites, decoded.logits[0].double().numpy(), decoded)
        begin = time.perf_counter()
        positions = recover(model, sample)
        seconds = time.perf_counter() - begin
        f1 = 2 * float((found & case.occupancy).sum()) / (float(found.sum()) + len(sites))
        rows.append([f1, rmsd(truth, positions), rmsd(truth, frame(name).sites[sites]), 1e3 * seconds])
    return dict(zip(("f1", "rmsd", "rmsd_sites", "recovery_ms"), np.array(rows).T, strict=True))


def noisy_recovery(tau: float, per_frame: int) -> dict[str, list[list[float]]]:
    """Quartiles of the RMSD of positions recovered from the true W, or the true D, with symmetric Gaussian noise."""
    rng = np.random.default_rng(7)
    cases = sorted(clusters(per_frame), key=lambda case: int(case.n_atoms))
    chosen = [true_positions(cases[k]) for k in np.linspace(0, len(cases) - 1, N_NOISY).astype(int)]
    kinds: dict[str, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]] = {
        "laplacian": (lambda d: affinity(d, tau), lambda w: recover_from_affinity(w, tau)),
        "distance": (lambda d: d, recover_from_distances),
    }
    quartiles: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for level in NOISE:
        errors: dict[str, list[float]] = {kind: [] for kind in kinds}
        for truth in chosen * N_DRAWS:
            n = len(truth)
            upper = np.triu(rng.normal(size=(n, n)), 1)
            for kind, (build, back) in kinds.items():
                matrix = build(pair_distances(truth))
                spread = float(np.std(matrix[~np.eye(n, dtype=bool)]))
                errors[kind].append(rmsd(truth, back(matrix + level * spread * (upper + upper.T))))
        for kind, values in errors.items():
            quartiles[kind].append(np.quantile(values, (0.25, 0.5, 0.75)).tolist())
    return quartiles


def draw_milliseconds(model: CbLdm, steps: int) -> float:
    """Wall clock of one of 64 samples for one PDF of about 150 atoms."""
    case = Stream(90_002, 1, "validation", (ATOMS - 3, ATOMS + 3), textbook=0.0).batch(0, "fcc")
    times = []
    for repeat in range(5):
        begin = time.perf_counter()
        model.draw(case.pdf, case.conditions, TIMED, torch.Generator().manual_seed(repeat), steps=steps)
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times) / TIMED
