"""How sure the ranking may be: fit the constants behind weights and ranges of atom counts, on the validation split.

    cbldm evaluate validation --limit 140 --out runs/validation
    cbldm evaluate seen --limit 40 --out runs/seen
    python benchmarks/fit_posterior.py runs/validation runs/seen

What is fitted by maximum likelihood of the true motif and the true atom count: `cbldm.rank.TEMPERATURE`, and
`LEAST_WIDTH` and `WIDTH_PER_RW` of `cbldm.ambiguity` (its `TAIL` and `TAIL_WIDTH` are the likeliest of 0.2, 0.3, 0.4
and of 3, 5). The table says what the constants of this version, and the fitted
ones, state on the same cases, and the fitted ones on cases that they were not fitted to (half by half).
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from cbldm.ambiguity import LEAST_WIDTH, LEVELS, WIDTH_PER_RW, count_posterior, narrowest
from cbldm.rank import TEMPERATURE
from cbldm.reliability import calibration_error, reliability

#: No statement is punished beyond this probability: one blunder must not decide.
LEAST = 1e-3


@dataclass(frozen=True)
class Told:
    """What a run found, and the truth."""

    n_true: int
    motif_true: str
    n_atoms: Sequence[int]
    motifs: Sequence[str]
    scores: np.ndarray
    rw: float


def read(folder: Path) -> list[Told]:
    """Runs of ``cases.jsonl``; the scores are read back from the weights, which this version made."""
    told = []
    for line in (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        found = case["found"]
        if found:
            weights = np.maximum([c["weight"] for c in found], 1e-300)
            told.append(
                Told(case["truth"]["n_atoms"], case["truth"]["motif"], [c["n_atoms"] for c in found],
                     [c["motif"] for c in found], -TEMPERATURE * np.log(weights), min(c["rw"] for c in found))
            )  # fmt: skip
    return told


def state(told: Told, constants: Sequence[float]) -> tuple[dict[str, float], np.ndarray]:
    """Probability of each motif and of each atom count."""
    temperature, least, per_rw = constants
    weights = np.exp((told.scores.min() - told.scores) / temperature)
    weights /= weights.sum()
    motif = {
        name: float(sum(w for w, m in zip(weights, told.motifs, strict=True) if m == name)) for name in told.motifs
    }
    return motif, count_posterior(told.n_atoms, weights.tolist(), least + per_rw * told.rw)


def loss(logs: np.ndarray, cases: Sequence[Told]) -> float:
    """Mean negative log likelihood of motif and atom count."""
    total = 0.0
    for told in cases:
        motif, count = state(told, np.exp(logs))
        n = told.n_true
        total -= np.log(max(motif.get(told.motif_true, 0.0), LEAST))
        total -= np.log(max(count[n] if n < len(count) else 0.0, LEAST))
    return total / len(cases)


def fit(cases: Sequence[Told]) -> np.ndarray:
    """The likeliest constants, from several starts."""
    starts = [(t, 0.003, 0.25) for t in (4.0, 12.0)]
    found = [minimize(loss, np.log(start), (cases,), method="Nelder-Mead", options={"xatol": 0.02}) for start in starts]
    return np.exp(min(found, key=lambda result: result.fun).x)


def judge(table: Table, name: str, pairs: Sequence[tuple[Told, Sequence[float]]]) -> None:
    """One row: what is stated with some constants for each case, and how often it is true."""
    bets, inside = [], {level: [] for level in LEVELS}
    for told, constants in pairs:
        motif, count = state(told, constants)
        likeliest = max(motif, key=motif.__getitem__)
        bets.append((motif[likeliest], likeliest == told.motif_true))
        for level in LEVELS:
            low, high = narrowest(count, level)
            inside[level].append((low <= told.n_true <= high, (high - low + 1) / told.n_true))
    said, right = zip(*bets, strict=True)
    likelihood = np.mean([loss(np.log(constants), [told]) for told, constants in pairs])
    shares = [
        f"{100 * np.mean([hit for hit, _ in hits]):.0f} ({100 * np.median([width for _, width in hits]):.0f})"
        for hits in inside.values()
    ]
    table.add_row(name, str(len(pairs)), f"{likelihood:.3f}", f"{100 * np.mean(right):.0f} ({100 * np.mean(said):.0f})",
                  f"{calibration_error(reliability(said, right)):.3f}", *shares)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of `cbldm evaluate`")
    folders = parser.parse_args().folders
    cases = [told for folder in folders for told in read(folder)]
    shuffled = np.random.default_rng(0).permutation(len(cases))
    halves = [[cases[i] for i in shuffled[start::2]] for start in (0, 1)]
    now, best = (TEMPERATURE, LEAST_WIDTH, WIDTH_PER_RW), fit(cases)
    crossed = [
        (told, constants) for half, other in (halves, halves[::-1]) for constants in [fit(half)] for told in other
    ]
    table = Table(caption="shares in %; motif right (said); N in p %: ranges that hold the count (median width)")
    for column in ("constants", "PDFs", "- log likelihood", "motif", "ECE", *(f"N in {100 * x:g} %" for x in LEVELS)):
        table.add_column(column, justify="right")
    judge(table, "of this version", [(told, now) for told in cases])
    judge(table, "fitted", [(told, best) for told in cases])
    judge(table, "fitted to the other half", crossed)
    for low, high in ((0, 0.03), (0.03, 0.075), (0.075, 0.15), (0.15, 1)):
        some = [(told, constants) for told, constants in crossed if low <= told.rw < high]
        if some:
            judge(table, f"same, Rw {low} to {high}", some)
    console = Console(width=140)
    console.print(table)
    console.print("fitted: TEMPERATURE {:.3g}, LEAST_WIDTH {:.3g}, WIDTH_PER_RW {:.3g}".format(*best))


if __name__ == "__main__":
    main()
