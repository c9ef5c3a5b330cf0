import numpy as np
import pytest
import torch

from cbldm.errors import InputError
from cbldm.physics import fast as fast_module
from cbldm.physics.debye import debye_gr
from cbldm.physics.fast import approximate_slopes, fast_gr
from cbldm.types import Instrument

R = np.linspace(0.0, 30.0, 601)
#: Agreement factor against the direct sum that each precision must reach on any of the clusters below.
RW = {torch.float32: 1e-5, torch.float64: 2e-7}


def cuboctahedron(shells, lattice=3.92):
    """13, 55, 147, ... fcc sites: one atom and whole shells, in Å."""
    side = np.arange(-shells, shells + 1)
    sites = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)
    inside = (sites.sum(1) % 2 == 0) & (np.abs(sites).sum(1) <= 2 * shells)
    return 0.5 * lattice * sites[inside]


def rattled(shells, sigma=0.05):
    xyz = cuboctahedron(shells)
    return xyz + np.random.default_rng(shells).normal(scale=sigma, size=xyz.shape)


def rw(wanted, found):
    return float(np.sqrt(np.sum((wanted - found) ** 2) / np.sum(wanted**2)))


def batch(*clusters, dtype=torch.float64):
    """Clusters of different size as (B, N, 3) and mask (B, N)."""
    positions = torch.nn.utils.rnn.pad_sequence([torch.tensor(xyz, dtype=dtype) for xyz in clusters], batch_first=True)
    counts = torch.tensor([len(xyz) for xyz in clusters])
    return positions, torch.arange(positions.shape[1]) < counts[:, None]


def test_cuboctahedra_have_magic_numbers():
    assert [len(cuboctahedron(n)) for n in (1, 2, 3, 4, 5, 6, 8)] == [13, 55, 147, 309, 561, 923, 2057]


@pytest.mark.parametrize("delta2", [0.0, 2.0])
@pytest.mark.parametrize("make", [cuboctahedron, rattled])
@pytest.mark.parametrize("shells", [1, 2, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 5, 6, 8))])
def test_agrees_with_the_direct_sum(make, shells, delta2):
    xyz = make(shells)
    wanted = debye_gr(R, xyz, Instrument(0.7, 25.0, 0.04), 0.0038, delta2=delta2)
    for dtype, limit in RW.items():
        g = fast_gr(
            torch.tensor(R), torch.tensor(xyz, dtype=dtype)[None], qmin=0.7, qmax=25.0, qdamp=0.04, uiso=0.0038,
            delta2=delta2,
        )  # fmt: skip
        assert rw(wanted, g[0].numpy()) <= limit


@pytest.mark.parametrize(
    "r",
    [np.arange(1.5, 20.0, 0.1), np.arange(0.0, 10.0, 0.01), np.sort(np.random.default_rng(0).uniform(0, 40, 200))],
    ids=["step 0.1", "step 0.01", "uneven"],
)
@pytest.mark.parametrize(("qmin", "qmax"), [(0.0, 12.0), (0.1, 22.0), (1.234, 35.0)])
def test_any_grid_and_any_band(r, qmin, qmax):
    xyz, physics = rattled(2), {"delta1": 0.3, "delta2": 1.0, "scale": 0.7, "stretch": 1.02}
    wanted = debye_gr(r, xyz, Instrument(qmin, qmax, 0.03, 0.02), 0.005, **physics)
    g = fast_gr(
        torch.tensor(r), torch.tensor(xyz)[None], qmin=qmin, qmax=qmax, qdamp=0.03, qbroad=0.02, uiso=0.005, **physics
    )
    assert rw(wanted, g[0].numpy()) <= 3e-7


def test_a_matrix_of_sines_and_a_fourier_transform_give_the_same(monkeypatch):
    r, xyz = torch.tensor(R), torch.tensor(rattled(2), requires_grad=True)
    found = []
    for limit in (1 << 30, 0):
        monkeypatch.setattr(fast_module, "MOST_SINES", limit)
        g = fast_gr(r, xyz[None], qmin=0.7, qmax=25.0, qdamp=0.03, uiso=0.005, delta2=2.0)[0]
        found.append((g.detach().numpy(), torch.autograd.grad(g.square().sum(), xyz)[0].numpy()))
    assert rw(found[0][0], found[1][0]) < 1e-7
    assert rw(found[0][1], found[1][1]) < 1e-6


def test_approximate_slopes_are_the_finite_differences_to_some_per_cent():
    r, xyz, h = torch.tensor(R[R > 1.5]), torch.tensor(rattled(2)), 1e-4
    settings = {"qmin": 0.7, "qmax": 25.0, "qdamp": 0.04}

    def exact(positions, uiso=0.006, delta2=1.5):
        return fast_gr(r, positions[None], uiso=uiso, delta2=delta2, **settings)[0]

    curve, slopes = approximate_slopes(r.float(), xyz.float(), uiso=0.006, delta2=1.5, **settings)
    assert rw(exact(xyz).numpy(), curve.numpy()) < 0.03
    rng = np.random.default_rng(8)
    move = torch.tensor(rng.normal(size=(20, *xyz.shape)))
    wanted = torch.stack([(exact(xyz + h * v) - exact(xyz - h * v)) / (2 * h) for v in move])
    assert rw(wanted.numpy(), (move.flatten(1) @ slopes[:-2].double()).numpy()) < 0.2
    by_uiso = (exact(xyz, 0.006 + h) - exact(xyz, 0.006 - h)) / (2 * h)
    by_delta2 = (exact(xyz, delta2=1.5 + h) - exact(xyz, delta2=1.5 - h)) / (2 * h)
    assert rw(by_uiso.numpy(), slopes[-2].numpy()) < 0.1
    assert rw(by_delta2.numpy(), slopes[-1].numpy()) < 0.1


def test_a_padded_batch_equals_its_clusters_one_by_one():
    clusters = (rattled(1), rattled(2), cuboctahedron(2)[:40], np.zeros((1, 3)), np.array([[0, 0, 0], [2.7, 0, 0]]))
    positions, mask = batch(*clusters)
    n = len(clusters)
    values = {
        "qmin": torch.linspace(0.5, 1.0, n),
        "qmax": torch.linspace(20.0, 25.0, n),
        "qdamp": torch.linspace(0.0, 0.05, n),
        "qbroad": torch.linspace(0.0, 0.02, n),
        "uiso": torch.linspace(0.003, 0.008, n),
        "delta1": torch.linspace(0.0, 0.3, n),
        "delta2": torch.linspace(0.0, 2.0, n),
        "scale": torch.linspace(0.5, 1.5, n),
        "stretch": torch.linspace(0.97, 1.03, n),
    }
    together = fast_gr(torch.tensor(R), positions, mask, **{k: v.double() for k, v in values.items()})
    for k, xyz in enumerate(clusters):
        p = {key: float(value.double()[k]) for key, value in values.items()}
        instrument = Instrument(p.pop("qmin"), p.pop("qmax"), p.pop("qdamp"), p.pop("qbroad"))
        wanted = debye_gr(R, xyz, instrument, p.pop("uiso"), **p)
        assert np.max(np.abs(together[k].numpy() - wanted)) <= 1e-6 * max(1.0, np.max(np.abs(wanted)))


def moved_by(variances, xyz, r, qmin, qmax, delta2=0.0):
    """The double sum over atoms of one variance each (Å²), its integral over Q by Gauss's rule."""
    q, weights = np.polynomial.legendre.leggauss(900)
    q, weights = qmin + (qmax - qmin) * (q + 1) / 2, weights * (qmax - qmin) / 2
    first, second = np.triu_indices(len(xyz), 1)
    d = np.linalg.norm(xyz[first] - xyz[second], axis=1)[:, None]
    spread = (variances[first] + variances[second])[:, None] * np.clip(1 - delta2 / d**2, 0, None)
    f = 2 / len(xyz) * np.sum(np.exp(-0.5 * spread * q**2) * np.sin(q * d) / d, axis=0)
    return 2 / np.pi * (weights * f) @ np.sin(np.outer(q, r))


@pytest.mark.parametrize("delta2", [0.0, 2.0])
def test_surface_atoms_move_by_themselves(delta2):
    """Of a pair of two kinds the variance is the sum of both, in each cluster of a padded batch."""
    clusters = (rattled(2), rattled(1))
    positions, mask = batch(*clusters)
    surface = torch.linalg.norm(positions, dim=-1) > 4.0
    surface[1] = torch.tensor([True, False] * 27 + [True])
    uiso, outer = torch.tensor([0.004, 0.006]).double(), torch.tensor([0.011, 0.003]).double()
    found = fast_gr(torch.tensor(R), positions, mask, qmin=0.7, qmax=22.0, uiso=uiso, delta2=delta2,
                    surface=surface, surface_uiso=outer)  # fmt: skip
    for row, xyz in enumerate(clusters):
        assert 0 < int(surface[row, : len(xyz)].sum()) < len(xyz)
        variances = torch.where(surface[row], outer[row], uiso[row])[: len(xyz)].numpy()
        assert rw(moved_by(variances, xyz, R, 0.7, 22.0, delta2), found[row].numpy()) < 2e-7


@pytest.mark.parametrize("chosen", ["none", "all", "some"])
def test_a_surface_that_moves_as_all_do_makes_no_difference(chosen):
    xyz = torch.tensor(rattled(2))[None]
    surface = {"none": torch.zeros(1, 55), "all": torch.ones(1, 55), "some": torch.arange(55)[None] % 2}[chosen].bool()
    common = {"qmin": 0.7, "qmax": 25.0, "delta2": 1.5}
    uiso, outer = {"none": (0.005, 0.02), "all": (0.02, 0.005), "some": (0.005, 0.005)}[chosen]
    found = fast_gr(torch.tensor(R), xyz, uiso=uiso, surface=surface, surface_uiso=outer, **common)
    assert rw(fast_gr(torch.tensor(R), xyz, uiso=0.005, **common)[0].numpy(), found[0].numpy()) < 1e-10


def test_gradients_with_a_surface_are_the_finite_differences():
    surface = torch.linalg.norm(torch.tensor(rattled(2)), dim=-1)[None] > 4.0

    def curve(xyz, outer):
        g = fast_gr(torch.tensor(R_FEW), xyz[None], **PARAMETERS, surface=surface, surface_uiso=outer)
        return (g[0] * torch.tensor(LEFT)).sum()

    xyz = torch.tensor(rattled(2), requires_grad=True)
    outer = torch.tensor(0.012, dtype=torch.float64, requires_grad=True)
    curve(xyz, outer).backward()
    start = xyz.detach()
    assert float(outer.grad) == pytest.approx(slope(lambda h: float(curve(start, outer.detach() + h)), 2e-5), rel=1e-5)
    direction = torch.tensor(np.random.default_rng(8).normal(size=start.shape))
    wanted = slope(lambda h: float(curve(start + h * direction, outer.detach())), 3e-4)
    assert float((xyz.grad * direction).sum()) == pytest.approx(wanted, rel=1e-5)


PARAMETERS = {
    "qmin": 0.73, "qmax": 24.2, "qdamp": 0.04, "qbroad": 0.02, "uiso": 0.005, "delta1": 0.3, "delta2": 1.5,
    "scale": 1.1, "stretch": 1.01,
}  # fmt: skip
R_FEW = np.linspace(1.0, 20.0, 120)
LEFT = np.random.default_rng(5).normal(size=120)


def direct(xyz, parameters):
    p = dict(parameters)
    instrument = Instrument(p.pop("qmin"), p.pop("qmax"), p.pop("qdamp"), p.pop("qbroad"))
    return float(LEFT @ debye_gr(R_FEW, xyz, instrument, p.pop("uiso"), **p))


def fast(xyz, parameters):
    with torch.no_grad():
        g = fast_gr(torch.tensor(R_FEW), torch.tensor(xyz)[None], **parameters)
    return float(LEFT @ g[0].numpy())


def slope(function, h):
    """Fourth-order central difference."""
    return (function(-2 * h) - 8 * function(-h) + 8 * function(h) - function(2 * h)) / (12 * h)


@pytest.fixture(scope="module")
def gradients():
    xyz = torch.tensor(rattled(2), requires_grad=True)
    parameters = {key: torch.tensor(v, dtype=torch.float64, requires_grad=True) for key, v in PARAMETERS.items()}
    (fast_gr(torch.tensor(R_FEW), xyz[None], **parameters)[0] * torch.tensor(LEFT)).sum().backward()
    return xyz.grad.numpy(), {key: float(value.grad) for key, value in parameters.items()}


@pytest.mark.parametrize("function", [direct, fast])
@pytest.mark.parametrize("key", PARAMETERS)
def test_gradient_of_every_parameter_is_the_finite_difference(gradients, key, function):
    def moved(step):
        return function(rattled(2), PARAMETERS | {key: PARAMETERS[key] + step})

    assert gradients[1][key] == pytest.approx(slope(moved, 2e-4 * max(PARAMETERS[key], 0.05)), rel=1e-5)


@pytest.mark.parametrize("function", [direct, fast])
def test_gradient_of_the_positions_is_the_finite_difference(gradients, function):
    xyz, rng = rattled(2), np.random.default_rng(6)
    for _ in range(3):
        direction = rng.normal(size=xyz.shape)
        wanted = slope(lambda step, v=direction: function(xyz + step * v, PARAMETERS), 3e-4)
        assert np.sum(gradients[0] * direction) == pytest.approx(wanted, rel=1e-5)
    for atom, axis in ((0, 0), (20, 1), (54, 2)):
        one = np.zeros_like(xyz)
        one[atom, axis] = 1.0
        wanted = slope(lambda step, v=one: function(xyz + step * v, PARAMETERS), 3e-4)
        assert gradients[0][atom, axis] == pytest.approx(wanted, abs=1e-5 * np.max(np.abs(gradients[0])))


def test_gradients_of_a_batch_belong_to_their_clusters():
    positions, mask = batch(rattled(1), rattled(2)[:30], dtype=torch.float64)
    positions.requires_grad_()
    uiso = torch.tensor([0.004, 0.006], dtype=torch.float64, requires_grad=True)
    g = fast_gr(torch.tensor(R_FEW), positions, mask, qmin=0.7, qmax=25.0, uiso=uiso, delta2=1.0)
    (g[0] * torch.tensor(LEFT)).sum().backward()
    assert torch.all(positions.grad[1] == 0)
    assert torch.all(positions.grad[0, 13:] == 0)
    assert torch.all(positions.grad[0, :13].abs().sum(1) > 0)
    assert uiso.grad[0] != 0
    assert uiso.grad[1] == 0


def test_forces_are_translation_and_rotation_free():
    """A function of distances alone exerts no total force and no total torque."""
    xyz = torch.tensor(rattled(2), requires_grad=True)
    fast_gr(torch.tensor(R), xyz[None], qmin=0.7, qmax=25.0, uiso=0.005).square().sum().backward()
    size = xyz.grad.abs().sum()
    assert xyz.grad.sum(0).abs().max() < 1e-11 * size
    assert torch.linalg.cross(xyz.detach(), xyz.grad).sum(0).abs().max() < 1e-10 * size


def test_motion_reflection_and_relabelling_do_not_matter():
    rng = np.random.default_rng(7)
    xyz = rattled(2)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = rng.permutation(xyz) @ turn.T + [3.0, -40.0, 11.0]
    g = fast_gr(torch.tensor(R), torch.tensor(np.stack([xyz, moved])), qmin=0.7, qmax=25.0, uiso=0.005, delta2=2.0)
    assert rw(g[0].numpy(), g[1].numpy()) < 1e-11


def test_the_same_call_gives_the_same_bits():
    xyz = torch.tensor(rattled(3), dtype=torch.float32)[None].repeat(4, 1, 1)
    first, second = (fast_gr(torch.tensor(R), xyz, qmin=0.7, qmax=25.0, uiso=0.005) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first[0], first[3])


def test_atoms_on_top_of_each_other_give_finite_numbers():
    xyz = torch.tensor([[[0.0, 0, 0], [0, 0, 0], [2.7, 0, 0]]], dtype=torch.float64, requires_grad=True)
    g = fast_gr(torch.tensor(R), xyz, qmin=0.7, qmax=25.0, uiso=0.005, delta2=2.0)
    g.sum().backward()
    assert torch.isfinite(g).all()
    assert torch.isfinite(xyz.grad).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": torch.zeros(2, 3)}, "need .B, N, 3."),
        ({"positions": torch.zeros(1, 2, 3, dtype=torch.float16)}, "float32 or float64"),
        ({"positions": torch.full((1, 2, 3), torch.nan)}, "everything finite"),
        ({"qmin": 26.0}, "qmin < qmax"),
        ({"qmin": torch.tensor([-0.1])}, "0 <= qmin"),
        ({"r": torch.tensor([-1.0, 2.0])}, "r >= 0"),
        ({"surface": torch.ones(1, 3, dtype=torch.bool)}, "surface: got shape .1, 3. .* need .1, 2. of bool"),
    ],
)
def test_unusable_input_is_named(change, message):
    call = {"r": torch.linspace(0, 5, 11), "positions": torch.zeros(1, 2, 3), "qmin": 0.7, "qmax": 25.0, "uiso": 0.005}
    with pytest.raises(InputError, match=message):
        fast_gr(**(call | change))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_what_the_cpu_gives():
    positions, mask = batch(rattled(2), rattled(1))
    here = fast_gr(torch.tensor(R), positions, mask, qmin=0.7, qmax=25.0, uiso=0.005, delta2=2.0)
    there = fast_gr(torch.tensor(R), positions.cuda(), mask.cuda(), qmin=0.7, qmax=25.0, uiso=0.005, delta2=2.0)
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-9)
