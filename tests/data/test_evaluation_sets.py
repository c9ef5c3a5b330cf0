from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cbldm.data.clusters import textbook_clusters
from cbldm.data.evaluation_sets import (
    BULK_DNN,
    CASES_PER_KIND,
    KINDS,
    OFF_CENTRE,
    SETS,
    SIZES,
    TEXTBOOK_SIZES,
    Case,
    CaseKey,
    case_keys,
    make_case,
    simulate_case,
)
from cbldm.data.relaxation import BULK_BOND
from cbldm.data.splits import in_split
from cbldm.data.stream import Stream
from cbldm.errors import CbldmError, InputError
from cbldm.first_peak import expected_dnn
from cbldm.geometry.fingerprint import fingerprint, fingerprints, shape_hash
from cbldm.geometry.motif import name_motif
from cbldm.metrics import rw
from cbldm.physics.debye import debye_gr

MOTIF_OF_KIND = {"fault": "faulted", "twin": "twin", "decahedron": "decahedron", "icosahedron": "icosahedron"}


@pytest.fixture(scope="module")
def textbook() -> list[Case]:
    return [make_case(key) for key in case_keys("textbook")]


@pytest.fixture(scope="module")
def offlibrary() -> list[Case]:
    """Two rounds of the kinds; of the relaxed ones, which take a while, the first."""
    return [make_case(key) for key in case_keys("offlibrary", 2 * len(KINDS) - 1)]


@pytest.fixture(scope="module")
def large() -> list[Case]:
    """One round of the kinds."""
    return [make_case(key) for key in case_keys("large", len(KINDS))]


def check_disjoint(cases, split="test"):
    hashes = [shape_hash(case.cluster.positions) for case in cases]
    assert all(in_split(shape, split) for shape in hashes)
    assert not any(in_split(shape, other) for shape in hashes for other in {"train", "validation", "test"} - {split})
    assert len(set(hashes)) == len(hashes), "every shape once"


def check_off_library(cases):
    lowest, highest = TEXTBOOK_SIZES if cases[0].key.set_name == "textbook" else SIZES[cases[0].key.set_name]
    enumerated = {fingerprint(cluster.positions) for cluster in textbook_clusters(highest)}
    for case in cases:
        assert fingerprint(case.cluster.positions) not in enumerated
        assert lowest <= case.cluster.n_atoms <= highest
        kind = case.key.category
        assert case.cluster.motif in {"off-centre": OFF_CENTRE}.get(
            kind, (MOTIF_OF_KIND.get(kind, case.cluster.motif),)
        )


def test_textbook_is_the_test_share_of_the_library(textbook):
    check_disjoint(textbook)
    everything = textbook_clusters(256)
    assert 0.15 < len(textbook) / len(everything) < 0.25
    families = Counter(case.key.category for case in textbook)
    assert families.keys() == {cluster.family for cluster in everything}
    expected = Counter(c.family for c in everything if in_split(shape_hash(c.positions), "test"))
    assert families == expected


@pytest.mark.parametrize(("name", "least"), [("offlibrary", 300), ("large", 50), ("validation", 300)])
def test_kinds_are_balanced_from_the_beginning(name, least):
    keys = case_keys(name)
    assert len(keys) >= least
    assert Counter(key.category for key in keys) == dict.fromkeys(KINDS, CASES_PER_KIND[name])
    assert Counter(key.category for key in keys[:21]) == dict.fromkeys(KINDS, 3)
    assert len({key.id for key in keys}) == len(keys)


def test_what_is_tuned_is_tuned_on_shapes_of_its_own():
    cases = [make_case(key) for key in case_keys("validation", len(KINDS))]
    check_disjoint(cases, "validation")
    check_off_library(cases)


def test_offlibrary_is_unseen_and_off_the_library(offlibrary):
    check_disjoint(offlibrary)
    check_off_library(offlibrary)


def test_large_is_unseen_and_off_the_library(large):
    check_disjoint(large)
    check_off_library(large)
    assert {case.key.category for case in large} == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["offlibrary", "large"])
def test_every_case_is_unseen_and_off_the_library(name):
    # Relaxing takes minutes; six cases have each motif once, and all go through the same gate.
    keys = [key for key in case_keys(name) if key.category != "relaxed" or key.number < 6]
    cases = [make_case(key) for key in keys]
    check_disjoint(cases)
    check_off_library(cases)
    lowest, highest = SIZES[name]
    sizes = np.array([case.cluster.n_atoms for case in cases if case.key.category != "relaxed"])
    assert np.all(np.histogram(sizes, 4, (lowest, highest + 1))[0] > 0.15 * len(sizes)), "small and large ones"
    assert all(name_motif(case.positions) == case.cluster.motif for case in cases)


def test_seen_shapes_are_those_of_the_training_split_and_no_others(textbook):
    seen = case_keys("seen")
    assert len(seen) > 3 * len(textbook)
    first = [make_case(key) for key in seen[:30]]
    assert all(in_split(shape_hash(case.cluster.positions), "train") for case in first)
    held_out = {shape_hash(case.cluster.positions) for case in textbook}
    assert not held_out & {shape_hash(case.cluster.positions) for case in first}


@pytest.mark.parametrize("share", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_training_and_evaluation_share_no_shape(textbook, offlibrary, share):
    held_out = {shape_hash(case.cluster.positions) for case in textbook + offlibrary}  # large ones have too many atoms
    for split in ("train", "validation"):
        stream = Stream(0, 64, split, textbook=share)
        for number, name in enumerate(("fcc", "decahedron", "icosahedron")):
            cuts = stream._shapes(name, stream._random(number))
            assert not held_out & set(fingerprints(cuts.frame, cuts.occupancy).tolist())


def test_labels_are_what_the_structures_show(textbook, offlibrary, large):
    for case in textbook + offlibrary + large:
        assert name_motif(case.positions) == case.cluster.motif


def test_lengths_are_those_of_the_metal(textbook, offlibrary, large):
    for case in textbook + offlibrary + large:
        nearest = np.median(cKDTree(case.positions).query(case.positions, k=2)[0][:, 1])
        assert nearest == pytest.approx(case.dnn, rel=1e-6)
        assert 0.98 <= case.dnn / BULK_DNN[case.element] <= 1.01


def test_bulk_distances_are_those_of_the_lattices():
    for element, dnn in BULK_DNN.items():
        assert dnn == pytest.approx(expected_dnn(element), abs=0.02)
    assert BULK_BOND.keys() <= BULK_DNN.keys()


def test_measurements_spread_over_their_ranges(textbook):
    for values, low, high in (
        ([case.instrument.qmin for case in textbook], 0.6, 1.4),
        ([case.instrument.qmax for case in textbook], 19, 27),
        ([case.instrument.qdamp for case in textbook], 0.01, 0.06),
        ([8 * np.pi**2 * case.uiso for case in textbook], 0.25, 0.9),
        ([case.delta2 for case in textbook], 0, 3),
    ):
        assert low <= min(values) < low + 0.2 * (high - low)
        assert high - 0.2 * (high - low) < max(values) <= high
    assert len({case.element for case in textbook}) > 15


def test_relaxed_atoms_have_left_the_lattice(offlibrary):
    relaxed = next(case for case in offlibrary if case.key.category == "relaxed")
    ideal = next(case for case in offlibrary if case.cluster.motif == relaxed.cluster.motif and case is not relaxed)

    def spread(case):
        distances = cKDTree(case.cluster.positions).query(case.cluster.positions, k=4)[0][:, 1:]
        return np.std(distances)

    assert spread(relaxed) > 0.005 > 1e-6 > spread(ideal)
    assert relaxed.element == relaxed.cluster.parameters["relaxed"]


@pytest.mark.parametrize(("name", "kind"), [("offlibrary", "twin"), ("large", "twin"), ("large", "icosahedron")])
def test_same_key_same_case(name, kind):
    key = CaseKey(name, 0, kind, 4)
    first, again = make_case(key), make_case(key)
    assert first.describe() == again.describe()
    assert np.array_equal(first.positions, again.positions)
    assert simulate_case(first, 0.1).sha256 == simulate_case(again, 0.1).sha256
    assert make_case(CaseKey(name, 1, kind, 4)).describe() != first.describe()


def test_limit_takes_the_beginning():
    for name in SETS:
        assert case_keys(name, 10, seed=3) == case_keys(name, seed=3)[:10]
    assert case_keys("textbook", 10, seed=1) != case_keys("textbook", 10, seed=2)


def test_pdf_is_the_debye_sum_of_the_truth(offlibrary):
    case = min(offlibrary, key=lambda case: case.cluster.n_atoms)
    pdf = simulate_case(case, 0.0)
    assert (pdf.r[0], pdf.r[-1], len(pdf.r)) == (0.0, 30.0, 3001)
    reference = debye_gr(pdf.r, case.positions, case.instrument, case.uiso, delta2=case.delta2)
    assert rw(reference, pdf.g) < 1e-6
    assert (pdf.element, pdf.instrument, pdf.warnings) == (case.element, case.instrument, ())


def test_noise_is_at_its_floor(offlibrary):
    case = offlibrary[0]
    ideal = simulate_case(case, 0.0)
    inside = ideal.r >= 1.5 - 1e-9
    for floor in (0.05, 0.2):
        noisy = simulate_case(case, floor)
        assert rw(noisy.g[inside], ideal.g[inside]) == pytest.approx(floor, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("moon",), "no evaluation set 'moon'; allowed are textbook, offlibrary, large, seen, validation"),
        (("textbook", 0), "limit is 0; allowed are 1 and more"),
        (("textbook", 1, -1), "seed is -1; allowed are 0 and more"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        case_keys(*arguments)


def test_a_case_that_cannot_be_found_is_an_error_not_an_endless_search(monkeypatch):
    monkeypatch.setattr("cbldm.data.evaluation_sets.name_motif", lambda positions: "nothing")
    monkeypatch.setattr("cbldm.data.evaluation_sets.MOST_BATCHES", 1)
    monkeypatch.setattr("cbldm.data.evaluation_sets.MOST_TRIES", 3)
    for name, kind in (("offlibrary", "off-centre"), ("offlibrary", "defects"), ("large", "relaxed")):
        with pytest.raises(CbldmError, match=f"no cluster was found for the case {name}-0-{kind}-000"):
            make_case(CaseKey(name, 0, kind, 0))
