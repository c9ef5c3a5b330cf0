"""What the candidates say together: which fit equally well, and how likely each motif and atom count is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cbldm.types import MOTIFS, Candidate

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


@dataclass(frozen=True)
class Ambiguity:
    """What the data leave open.

    Attributes:
        equivalents: Candidates that fit as well as rank 1, itself included.
        words: The same in a sentence.
        motif: Posterior probability of each motif among the candidates, likeliest first.
        n_atoms: For each of `LEVELS` the narrowest range of atom counts (low, high) of that probability.
    """

    equivalents: int
    words: str
    motif: Mapping[str, float]
    n_atoms: Mapping[float, tuple[int, int]]


def summarise(candidates: Sequence[Candidate]) -> Ambiguity:
    """Sum up candidates.

    Args:
        candidates: Ranked, with weights and groups; at least one.
    """
    equal = [candidate for candidate in candidates if candidate.group == 1]
    motif = {name: sum(c.weight for c in candidates if c.motif == name) for name in MOTIFS}
    likeliest = sorted((name for name in MOTIFS if motif[name] > 0), key=lambda name: -motif[name])
    return Ambiguity(
        equivalents=len(equal),
        words=_words(equal),
        motif={name: motif[name] for name in likeliest},
        n_atoms={level: _narrowest(candidates, level) for level in LEVELS},
    )


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


def _narrowest(candidates: Sequence[Candidate], level: float) -> tuple[int, int]:
    """The narrowest range of atom counts that holds a share of the weight."""
    counts = sorted({candidate.n_atoms for candidate in candidates})
    ranges = [
        (low, high)
        for low in counts
        for high in counts
        if high >= low and sum(c.weight for c in candidates if low <= c.n_atoms <= high) >= level - 1e-9
    ]
    return min(ranges, key=lambda ends: ends[1] - ends[0])
