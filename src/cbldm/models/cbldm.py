"""CbLDM: translator, PDF encoder, conditional prior and sculptor, joined (Cao et al., arXiv 2509.01370)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cbldm.geometry.frames import EXCLUSION, FRAME_OF_MOTIF, FRAMES, frame
from cbldm.geometry.matrices import MatrixKind, matrix_of
from cbldm.models.denoiser import LatentDenoiser
from cbldm.models.diffusion import Start, diffuse, sample
from cbldm.models.networks import Gaussian, standard_normal_like
from cbldm.models.pdf_encoder import PdfEncoder
from cbldm.models.prior import ConditionalPrior, Counting, Heads
from cbldm.models.vae import ConditionalVae, Decoded, kernel_matrix
from cbldm.types import MOTIFS, FloatArray, InputUnit

#: In this order: VAE and prior; diffusion, prior and heads.
Stage = Literal["translator", "sculptor"]
#: Atoms per cluster whose block of S enters the loss.
BLOCK = 32
#: Error of the entries of S at which the misfit begins to count, and its weight in nats per atom: 1.5 would be a full
#: likelihood of three coordinates, but most of what moves an atom cannot be encoded, and sites come first.
MATRIX_SIGMA, MATRIX_WEIGHT = 0.004, 0.5


#: Added to the probability of every frame before frames are drawn: of 64 samples each gets one at least.
FRAME_DOUBT = 0.02


@dataclass(frozen=True)
class ModelConfig:
    """Everything that shapes the network.

    Attributes:
        n_r: Points of the input PDF.
        r_start: First point, in the unit of the input.
        r_step: Step, in the unit of the input.
        n_max: Largest atom count.
        n_latent: Numbers per structure.
        n_read: Length of the vector with which a site enters the encoder.
        n_write: Length of the vector with which the decoder writes a site.
        n_code: Length of the condition.
        vae_width: Width of encoder and decoder.
        vae_depth: Residual blocks of each.
        prior_width: Width of the conditional prior.
        encoder_width: Width of the PDF encoder.
        encoder_depth: Residual blocks of the PDF encoder.
        denoiser_width: Width of the denoiser.
        denoiser_depth: Residual blocks of the denoiser.
        tau: τ of the affinity, in squared nearest-neighbour distances.
        matrix: ``laplacian``, or the ablation ``distance``.
        start: ``prior``, or the ablation ``noise``.
        count: ``explicit``: the atom count is drawn first, and prior and denoiser are told; or the ablation
            ``implicit``: they are not, and the decoder says how many sites are occupied.
        unit: ``first_peak``: the input is read in units of the first peak of G(r), the nearest-neighbour distance; or
            the ablation ``angstrom``: in a fixed number of Å. Structures are in nearest-neighbour distances either way.
    """

    n_r: int = 393
    r_start: float = 0.7
    r_step: float = 0.025
    n_max: int = 256
    n_latent: int = 128
    n_read: int = 320
    n_write: int = 448
    n_code: int = 320
    vae_width: int = 576
    vae_depth: int = 2
    prior_width: int = 512
    encoder_width: int = 640
    encoder_depth: int = 4
    denoiser_width: int = 640
    denoiser_depth: int = 4
    tau: float = 10.0
    matrix: MatrixKind = "laplacian"
    start: Start = "prior"
    count: Counting = "explicit"
    unit: InputUnit = "first_peak"

    def to_dict(self) -> dict[str, object]:
        """Plain values for ``config.json``."""
        return asdict(self)


class TrainingBatch(Protocol):
    """What the losses read of a batch; `cbldm.data.stream.Batch` is one."""

    @property
    def frame_index(self) -> int:
        """Index into `FRAMES`, the same for the whole batch."""

    @property
    def occupancy(self) -> torch.Tensor:
        """(batch, n_sites) bool, the present slots."""

    @property
    def displacement(self) -> torch.Tensor:
        """(batch, n_sites, 3) of the atoms from their sites, zero on empty ones."""

    @property
    def features(self) -> torch.Tensor:
        """(batch, n_sites, 4) of `cbldm.geometry.matrices.matrix_features`."""

    @property
    def n_atoms(self) -> torch.Tensor:
        """(batch,) int64 atom counts."""

    @property
    def motif(self) -> torch.Tensor:
        """(batch,) int64 index into `MOTIFS`."""

    @property
    def pdf(self) -> torch.Tensor:
        """(batch, n_r) normalised G(r)."""

    @property
    def conditions(self) -> torch.Tensor:
        """(batch, 3) qmin, qmax and rmax, scaled to order one."""


@dataclass(frozen=True)
class Sample:
    """One structure as the network drew it; `CbLdm.matrix` gives its S.

    Attributes:
        frame: Name of its frame.
        sites: (n_atoms,) occupied sites, increasing.
        log_odds: (n_sites,) of the presence of each site of the frame.
        decoded: All that the translator said, for one structure.
    """

    frame: str
    sites: NDArray[np.int64]
    log_odds: FloatArray
    decoded: Decoded


class CbLdm(nn.Module):
    """The whole model. `forward` gives the training loss of a stage; `draw` gives structures for one PDF."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c, n_conditions = config, 3
        self.pdf_encoder = PdfEncoder(c.n_r, n_conditions, c.n_code, c.encoder_width, c.encoder_depth)
        self.vae = ConditionalVae(c.n_r, n_conditions, c.n_latent, c.n_read, c.n_write, c.vae_width, c.vae_depth)
        self.prior = ConditionalPrior(c.n_code, len(FRAMES), c.n_latent, c.prior_width, 2, c.count)
        self.heads = Heads(c.n_code, len(FRAMES), len(MOTIFS), c.n_max, 192)
        self.denoiser = LatentDenoiser(c.n_latent, c.n_code + 64, c.denoiser_width, c.denoiser_depth)
        self.register_buffer("latent_mean", torch.zeros(len(FRAMES), c.n_latent))
        self.register_buffer("latent_std", torch.ones(len(FRAMES), c.n_latent))
        self.latent_mean: torch.Tensor
        self.latent_std: torch.Tensor

    def stage_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Parameters that a stage trains: the translator's are frozen while the sculptor learns."""
        parts: list[nn.Module] = [self.pdf_encoder, self.prior]
        parts += [self.heads, self.denoiser] if stage == "sculptor" else [self.vae]
        return [parameter for part in parts for parameter in part.parameters()]

    def forward(
        self, stage: Stage, batch: TrainingBatch, generator: torch.Generator, beta: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of a stage, and its parts for the curve.

        Args:
            stage: ``translator`` (VAE and prior) or ``sculptor`` (denoiser, prior, heads).
            batch: Training batch.
            generator: Source of the noise of this step.
            beta: Weight of the KL term of the translator, annealed up.

        Returns:
            Scalar loss per latent dimension, and named scalars.
        """
        return self._sculptor(batch, generator) if stage == "sculptor" else self._translator(batch, generator, beta)

    def posterior(self, batch: TrainingBatch) -> Gaussian:
        """q(z | S, x) of a batch, before normalisation."""
        return self.vae.encode(batch.frame_index, batch.occupancy, batch.features, batch.pdf, batch.conditions)

    def _translator(
        self, batch: TrainingBatch, generator: torch.Generator, beta: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        posterior = self.posterior(batch)
        z = posterior.sample(generator)
        decoded = self.vae.decode(batch.frame_index, z)
        presence = nn.functional.binary_cross_entropy_with_logits(
            decoded.logits, batch.occupancy.float(), reduction="none"
        ).sum(dim=1)
        matrix = self._matrix_loss(batch, decoded, generator)
        frames = torch.full((len(z),), batch.frame_index, device=z.device)
        prior = self.latent_prior(self.pdf_encoder(batch.pdf, batch.conditions), frames, batch.n_atoms)
        conditional = posterior.divergence(prior)
        # A little of the ordinary KL keeps the latents near unit scale.
        plain = posterior.divergence(standard_normal_like(z))
        loss = (presence + matrix + beta * (0.8 * conditional + 0.2 * plain)).mean() / self.config.n_latent
        found = (decoded.logits > 0) & batch.occupancy
        overlap = 2 * found.sum(dim=1) / ((decoded.logits > 0).sum(dim=1) + batch.n_atoms)
        parts = {"presence": presence.mean(), "matrix": matrix.mean(), "kl": conditional.mean(), "f1": overlap.mean()}
        return loss, parts

    def _matrix_loss(self, batch: TrainingBatch, decoded: Decoded, generator: torch.Generator) -> torch.Tensor:
        """Misfit (batch,) of S in nats, from a random block of atoms of each cluster."""
        weights = batch.occupancy.float() + 1e-9
        index = torch.multinomial(weights, min(BLOCK, weights.shape[1]), generator=generator)
        real = batch.occupancy.gather(1, index)
        both = (real[:, :, None] & real[:, None]).float()
        with torch.autocast(index.device.type, enabled=False):
            sites = torch.as_tensor(frame(FRAMES[batch.frame_index]).sites, dtype=torch.float32, device=index.device)
            positions = sites[index] + batch.displacement.gather(1, index[:, :, None].expand(-1, -1, 3))
            target = matrix_of(torch.cdist(positions, positions) ** 2, self.config.matrix, self.config.tau)
            embedded = self.vae.embeddings(batch.frame_index, decoded, batch.occupancy, index)
            error = (kernel_matrix(embedded, self.config.matrix, self.config.tau) - target) * both
        mean_square = (error**2).sum(dim=(1, 2)) / (both.sum(dim=(1, 2)) - both.sum(dim=1).amax(dim=1)).clamp_min(1)
        # The logarithm keeps clusters that cannot be encoded from ruling the loss.
        return MATRIX_WEIGHT * batch.n_atoms * torch.log1p(mean_square / MATRIX_SIGMA**2)

    def _sculptor(
        self, batch: TrainingBatch, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        with torch.no_grad():
            z = self.posterior(batch).sample(generator)
            z = (z - self.latent_mean[batch.frame_index]) / self.latent_std[batch.frame_index]
        frames = torch.full((len(z),), batch.frame_index, device=z.device)
        code = self.pdf_encoder(batch.pdf, batch.conditions)
        prior = self.latent_prior(code, frames, batch.n_atoms)
        prior_loss = prior.log_loss(z).sum(dim=1).mean()
        context = self.prior.context(code, frames, batch.n_atoms).float()
        detached = self.start_prior(Gaussian(prior.mean.detach(), prior.log_variance.detach()))
        denoise_loss = torch.zeros((), device=z.device)
        for _ in range(2):
            angle = 0.03 + (torch.pi / 2 - 0.03) * torch.rand(len(z), generator=generator, device=z.device)
            noise = torch.randn(z.shape, generator=generator, device=z.device)
            noisy = diffuse(z, angle, noise)
            clean = self.denoiser(noisy, angle, detached, context)
            # Nats gained over the prior's own posterior would be constant shifts; the clean NLL is what is trained.
            floor = torch.log(angle.sin()[:, None])
            denoise_loss = denoise_loss + 0.5 * (clean.log_loss(z) - floor).sum(dim=1).mean()
        motif = nn.functional.cross_entropy(self.heads.motif_logits(code), batch.motif)
        count = nn.functional.cross_entropy(self.heads.count_logits(code, frames), batch.n_atoms)
        loss = (prior_loss + denoise_loss) / self.config.n_latent + 0.2 * (motif + count)
        return loss, {"prior": prior_loss, "denoiser": denoise_loss, "motif": motif, "count": count}

    def latent_prior(self, code: torch.Tensor, frames: torch.Tensor, n_atoms: torch.Tensor) -> Gaussian:
        """p(z | x, frame, N) in normalised latents; before `set_latent_scale` those are the encoder's own."""
        prior = self.prior(code, frames, n_atoms)
        mean, std = self.latent_mean[frames], self.latent_std[frames]
        return Gaussian((prior.mean - mean) / std, prior.log_variance - 2 * std.log())

    def start_prior(self, prior: Gaussian) -> Gaussian:
        """The prior that the denoiser may lean on: none in the ablation that starts from white noise."""
        return prior if self.config.start == "prior" else standard_normal_like(prior.mean)

    @torch.no_grad()
    def set_latent_scale(self, batches: Iterator[TrainingBatch]) -> None:
        """Measure mean and standard deviation of the latents of each frame, so that the sculptor sees unit scale."""
        found: dict[int, list[torch.Tensor]] = {}
        for batch in batches:
            found.setdefault(batch.frame_index, []).append(self.posterior(batch).mean)
        for index, parts in found.items():
            z = torch.cat(parts)
            self.latent_mean[index], self.latent_std[index] = z.mean(dim=0), z.std(dim=0).clamp_min(0.05)

    @torch.no_grad()
    def estimates(
        self, pdf: torch.Tensor, conditions: torch.Tensor, n_atoms: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """p(motif | x) (n_motifs,) and p(N | x, frame) (n_frames, n_max + 1) for one PDF (1, n_r).

        Args:
            pdf: (1, n_r) normalised as in training.
            conditions: (1, 3).
            n_atoms: Allowed atom counts, both ends included; from 5 when None.
        """
        code = self.pdf_encoder(pdf, conditions)
        frames = torch.arange(len(FRAMES), device=pdf.device)
        counts = self.heads.count_logits(code.expand(len(FRAMES), -1), frames).softmax(dim=1)
        low, high = self._allowed(n_atoms)
        allowed = torch.zeros_like(counts)
        allowed[:, low : high + 1] = 1
        # No count that is allowed is impossible.
        counts = allowed * (counts + 1e-6)
        return self.heads.motif_logits(code).softmax(dim=1)[0], counts / counts.sum(dim=1, keepdim=True)

    def _allowed(self, n_atoms: tuple[int, int] | None) -> tuple[int, int]:
        """Smallest and largest atom count that may be drawn."""
        return n_atoms or (5, self.config.n_max)

    @staticmethod
    def frame_share(motif: torch.Tensor) -> torch.Tensor:
        """Probability of each frame (n_frames,) from those of the motifs (n_motifs,)."""
        home = torch.tensor([FRAMES.index(FRAME_OF_MOTIF[name]) for name in MOTIFS], device=motif.device)
        return torch.zeros(len(FRAMES), device=motif.device).index_add_(0, home, motif)

    @torch.no_grad()
    def draw(
        self,
        pdf: torch.Tensor,
        conditions: torch.Tensor,
        n: int,
        generator: torch.Generator,
        *,
        steps: int = 8,
        n_atoms: tuple[int, int] | None = None,
    ) -> list[Sample]:
        """Draw n structures for one PDF.

        Args:
            pdf: (1, n_r) normalised as in training.
            conditions: (1, 3).
            n: Number of structures.
            generator: Source of randomness.
            steps: Denoiser calls.
            n_atoms: Allowed atom counts, both ends included; any when None.

        Returns:
            Structures in the order in which they were drawn, fewer than n where a draw is empty.
        """
        # A particle unlike the training data can look like the wrong motif with certainty.
        share = self.frame_share(self.estimates(pdf, conditions)[0]) + FRAME_DOUBT
        chosen = systematic(share, n, generator)
        samples: list[Sample] = []
        for index in chosen.unique().tolist():
            k = int((chosen == index).sum())
            samples += self.draw_in_frame(index, pdf, conditions, k, generator, steps=steps, n_atoms=n_atoms)
        return samples

    @torch.no_grad()
    def draw_in_frame(
        self,
        index: int,
        pdf: torch.Tensor,
        conditions: torch.Tensor,
        n: int,
        generator: torch.Generator,
        *,
        steps: int = 8,
        n_atoms: tuple[int, int] | None = None,
    ) -> list[Sample]:
        """Draw n structures in one frame, given by its index into `FRAMES`; see `draw`."""
        wanted = systematic(self.estimates(pdf, conditions, n_atoms)[1][index], n, generator)
        code = self.pdf_encoder(pdf, conditions).expand(n, -1)
        frames = torch.full((n,), index, device=pdf.device)
        prior = self.latent_prior(code, frames, wanted)
        context = self.prior.context(code, frames, wanted)
        base = self.start_prior(prior)

        def denoise(z: torch.Tensor, angle: torch.Tensor) -> Gaussian:
            return self.denoiser(z, angle, base, context)

        z = sample(denoise, prior, steps, generator, start=self.config.start)
        z = z * self.latent_std[index] + self.latent_mean[index]
        decoded = self.vae.decode(index, z)
        if self.config.count == "implicit":
            wanted = (decoded.logits > 0).sum(dim=1).clamp(*self._allowed(n_atoms))
        home = frame(FRAMES[index])
        samples = []
        for row in range(n):
            occupied = fill_sites(decoded.logits[row], home.sites, int(wanted[row]))
            sites = occupied.nonzero()[:, 0].cpu().numpy()
            if len(sites) >= 5:
                odds = decoded.logits[row].double().cpu().numpy()
                samples.append(Sample(home.name, sites, odds, decoded.row(row)))
        return samples

    @torch.no_grad()
    def matrix(self, drawn: Sample, sites: NDArray[np.int64] | None = None) -> FloatArray:
        """S of a sample (n_atoms, n_atoms), float64.

        Args:
            drawn: From `draw`.
            sites: (n_atoms,) other occupied sites of the same frame, as moves leave them; those of the sample if None.
        """
        index = FRAMES.index(drawn.frame)
        device = drawn.decoded.logits.device
        chosen = torch.as_tensor(drawn.sites if sites is None else sites, device=device)
        occupied = torch.zeros(1, len(drawn.log_odds), dtype=torch.bool, device=device)
        occupied[0, chosen] = True
        vectors = self.vae.embeddings(index, drawn.decoded, occupied, chosen[None]).double()
        found = kernel_matrix(vectors, self.config.matrix, self.config.tau)[0]
        return np.asarray(found.cpu().numpy())


def fill_sites(logits: torch.Tensor, sites: FloatArray, n_atoms: int) -> torch.Tensor:
    """Occupy the n most likely sites (n_sites,), skipping those that clash with a likelier one.

    Args:
        logits: (n_sites,) log-odds.
        sites: (n_sites, 3).
        n_atoms: Atom count that was drawn.
    """
    order = logits.argsort(descending=True, stable=True)[: 2 * n_atoms]
    points = torch.as_tensor(sites, dtype=torch.float32, device=logits.device)[order]
    clashes = (torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") < EXCLUSION).cpu().numpy()
    kept: list[int] = []
    blocked = np.zeros(len(order), dtype=np.bool_)
    for place in range(len(order)):
        if len(kept) == n_atoms:
            break
        if not blocked[place]:
            kept.append(place)
            blocked |= clashes[place]
    occupied = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    occupied[order[torch.tensor(kept, dtype=torch.long, device=order.device)]] = True
    return occupied


def systematic(weights: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw n indices in proportion to weights with one random offset: shares are met to within one draw."""
    edges = (weights.double() / weights.double().sum()).cumsum(0)
    offset = torch.rand(1, generator=generator, device=weights.device, dtype=torch.float64)
    points = (torch.arange(n, device=weights.device) + offset) / n
    return torch.searchsorted(edges, points).clamp_max(len(weights) - 1)
