"""What an evaluation found, as tables for the terminal: the scores, and what was stated beside what was true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

#: The category that holds all cases; a line is drawn below it.
ALL = "all"


def score_table(report: Mapping[str, Any]) -> Table:
    """Scores by noise floor and category.

    Args:
        report: What ``report.json`` holds.
    """
    table = Table(
        title=f"{report['set']} (seed {report['seed']}) {report['solver']}".rstrip(),
        caption="shares in %; a / b: rank 1 / best of 10; raw: the sample that fits best as the network drew it",
    )
    numbers = (
        *("PDFs", "N exact", "N ±5 %", "RMSD < 0.1 Å", "F1", "raw N ±5 %", "raw F1"),
        *("motif", "Rw", "Rw − floor", "rejected", "s / PDF"),
    )
    _add_columns(table, *numbers)
    for row in report["rows"]:
        table.add_row(
            f"{row['floor']:g}",
            row["category"],
            str(row["n_cases"]),
            *(_percent(row[name], row[f"{name}_best"]) for name in ("count_exact", "count_within_5", "rmsd_below_01")),
            f"{row['f1']:.3f} / {row['f1_best']:.3f}",
            _percent(row["raw_count_within_5"]),
            _number(row["raw_f1"]),
            _percent(row["motif"]),
            _number(row["rw"]),
            _number(row["rw_above_floor"], "+.3f"),
            f"{row['rejected']:.1f}",
            f"{row['seconds']:.1f}",
            end_section=row["category"] == ALL,
        )
    return table


def calibration_table(report: Mapping[str, Any]) -> Table:
    """How often what was stated was true, by noise floor and category.

    Args:
        report: What ``report.json`` holds.
    """
    table = Table(
        title=f"{report['set']} (seed {report['seed']}): stated and true",
        caption="N in p %: share of PDFs whose stated range holds the atom count (its median width), in %; "
        "equals: candidates that fit as well as rank 1; truth: share where one of them has an F1 of 0.95 and more",
    )
    levels = sorted({level for row in report["rows"] for level in row["n_atoms_covered"]}, key=float)
    _add_columns(table, "PDFs", "motif ECE", *(f"N in {100 * float(level):g} %" for level in levels), "equals", "truth")
    for row in report["rows"]:
        covered, width = row["n_atoms_covered"], row["n_atoms_width"]
        table.add_row(
            f"{row['floor']:g}",
            row["category"],
            str(row["n_cases"]),
            _number(row["motif_error"]),
            *(f"{_percent(covered.get(level))} ({_percent(width.get(level))})" for level in levels),
            f"{row['equivalents']:.1f}",
            _percent(row["truth_in_equivalents"]),
            end_section=row["category"] == ALL,
        )
    return table


def _add_columns(table: Table, *numbers: str) -> None:
    for name in ("floor", "category"):
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")


def _percent(*values: float | None) -> str:
    return " / ".join("-" if value is None else f"{100 * value:.0f}" for value in values)


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)
