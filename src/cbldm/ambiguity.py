"""What the candidates say together: which fit equally well, and how likely each motif and atom count is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cbldm.types import MOTIFS, Candidate, FloatArray

#: How one and several clusters of a motif are called.
NOUNS = {
    "fcc": ("fcc cluster", "fcc clusters"),
    "hcp": ("hcp cluster", "hcp clusters"),
    "bcc": ("bcc cluster", "bcc clusters"),
    "sc": ("simple cubic cluster", "simple cubic clusters"),
    "twin": ("twinned fcc cluster", "twinned fcc clusters"),
    "faulted": ("cluster with stacking faults", "clusters with stacking faults"),
    "decahedron": ("decahedron", "decahedra"),
    "icosahedron": ("icosahedron", "icosahedra"),
}
#: Shares of the posterior that sets of atom counts hold.
LEVELS = (0.5, 0.8, 0.95)
#: How far the true atom count is from a candidate's, as the spread of its logarithm: so much at least, and so much for
#: each unit of the Rw that noise leaves. Fitted by `benchmarks/fit_posterior.py` on the validation split.
LEAST_WIDTH, WIDTH_PER_RW = 0.002, 0.22
#: Share of the probability that is spread so many times as far.
TAIL, TAIL_WIDTH = 0.4, 5.0
#: No cluster is smaller, and none that is considered this many times larger than the largest candidate.
SMALLEST, LARGEST_RATIO = 5, 2.0


@dataclass(frozen=True)
class Ambiguity:
    """What the data leave open.

    Attributes:
        equivalents: Candidates that fit as well as rank 1, itself included.
        words: The same in a sentence.
        motif: Posterior probability of each motif among the candidates, likeliest first.
        n_atoms: For each of `LEVELS` the narrowest range of atom counts (low, high) of that probability.
        count: (n,) posterior probability of each atom count from 0, see `count_posterior`.
    """

    equivalents: int
    words: str
    motif: Mapping[str, float]
    n_atoms: Mapping[float, tuple[int, int]]
    count: FloatArray


def summarise(candidates: Sequence[Candidate]) -> Ambiguity:
    """Sum up candidates.

    Args:
        candidates: Ranked, with weights and groups; at least one.
    """
    equal = [candidate for candidate in candidates if candidate.group == 1]
    motif = {name: sum(c.weight for c in candidates if c.motif == name) for name in MOTIFS}
    width = LEAST_WIDTH + WIDTH_PER_RW * min(candidate.rw for candidate in candidates)
    count = count_posterior([c.n_atoms for c in candidates], [c.weight for c in candidates], width)
    likeliest = sorted((name for name in MOTIFS if motif[name] > 0), key=lambda name: -motif[name])
    return Ambiguity(
        equivalents=len(equal),
        words=_words(equal),
        motif={name: motif[name] for name in likeliest},
        n_atoms={level: narrowest(count, level) for level in LEVELS},
        count=count,
    )


def count_posterior(n_atoms: Sequence[int], weights: Sequence[float], width: float) -> FloatArray:
    """Probability of each atom count: the candidates' weights, each spread over the counts near its own.

    A few candidates stand for many structures that were not looked at, most of which have other atom counts, the more
    the noisier the data: so each count is spread in its logarithm, by two Gaussians.

    Args:
        n_atoms: (n_candidates,) atom counts.
        weights: (n_candidates,) probability of each candidate.
        width: Spread of ln N.

    Returns:
        (n,) from 0 atoms on, summing to 1.

    Example:
        >>> [round(float(p), 2) for p in count_posterior([60, 55], [0.75, 0.25], 0.002)[54:62]]
        [0.01, 0.24, 0.01, 0.0, 0.0, 0.02, 0.71, 0.02]
    """
    own = np.asarray(n_atoms)[:, None]
    counts = np.arange(int(LARGEST_RATIO * own.max()) + SMALLEST)
    z = np.log(np.maximum(counts, 1) / own) / width
    near = (1 - TAIL) * np.exp(-0.5 * z**2) + TAIL / TAIL_WIDTH * np.exp(-0.5 * (z / TAIL_WIDTH) ** 2)
    near = np.where(counts >= np.minimum(SMALLEST, own), near / np.maximum(counts, 1), 0.0)
    total = np.asarray(weights) @ (near / near.sum(axis=1, keepdims=True))
    return np.asarray(total / total.sum())


def narrowest(probability: FloatArray, level: float) -> tuple[int, int]:
    """The narrowest range that holds a share of a distribution; of several the one that holds most.

    Args:
        probability: (n,) of each integer from 0, summing to 1.
        level: The share.

    Returns:
        Lowest and highest integer of the range, both included.

    Example:
        >>> narrowest(np.array([0.1, 0.2, 0.4, 0.3]), 0.5)
        (2, 3)
    """
    below = np.concatenate([[0.0], np.cumsum(probability)])
    ends = np.searchsorted(below, below[:-1] + level - 1e-12)
    starts = np.flatnonzero(ends < len(below))
    ends = ends[starts]
    order = np.lexsort((below[starts] - below[ends], ends - starts))
    best = int(starts[order[0]])
    return best, int(ends[order[0]]) - 1


def _words(equal: Sequence[Candidate]) -> str:
    """For example ``3 structures fit equally well: 2 decahedra of 101-105 atoms, 1 fcc cluster of 98 atoms``."""
    parts = []
    for name in dict.fromkeys(candidate.motif for candidate in equal):
        counts = [candidate.n_atoms for candidate in equal if candidate.motif == name]
        span = f"{min(counts)}-{max(counts)}" if len(set(counts)) > 1 else str(counts[0])
        parts.append((len(counts), f"{len(counts)} {NOUNS[name][len(counts) > 1]} of {span} atoms"))
    parts.sort(key=lambda part: -part[0])
    if len(equal) == 1:
        noun = NOUNS[equal[0].motif][0]
        article = "an" if noun.startswith(("fcc", "hcp", "icosa")) else "a"
        return (
            f"one structure fits better than all others that were found: {article} {noun} of {equal[0].n_atoms} atoms"
        )
    return f"{len(equal)} structures fit equally well: {', '.join(text for _, text in parts)}"
