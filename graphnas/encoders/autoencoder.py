"""The cell autoencoder: an encoder and a decoder passed in, in PyG's vocabulary."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphnas.cell import Architecture, CellArrays, canonical_arrays
from graphnas.content import content_folder
from graphnas.encoders.decoder import DerivationDecoder, decision_masks
from graphnas.encoders.graph_encoder import GraphEncoder
from graphnas.spaces import Space

FORMAT = 1  # of an encoder's folder; raised when older programs could not read it


def reparameterize(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw `z ~ N(mu, exp(logvar))` with gradients (Kingma & Welling 2014, Sec. 2.4).

    Args:
        mu: `batch_shape x d` latent mean.
        logvar: `batch_shape x d` natural log of the latent variance.
        generator: Source of the noise; the global one if None.

    Returns:
        `batch_shape x d` sample, on `mu`'s device and in its dtype.
    """
    noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + noise * (logvar / 2).exp()


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of each latent dimension, in nats (Kingma & Welling 2014, App. B).

    Args:
        mu: `batch_shape x d` latent mean.
        logvar: `batch_shape x d` natural log of the latent variance.

    Returns:
        `batch_shape x d` divergences, each at least 0.
    """
    return (mu.square() + logvar.exp() - 1 - logvar) / 2


class TrainingCells(NamedTuple):
    """Canonical cells as tensors, with the masks of their derivations."""

    ops: Tensor
    """`n x v` vocabulary codes."""
    adjacency: Tensor
    """`n x v x v` edges."""
    op_masks: Tensor
    """`n x (v - 1) x k` legal operations."""
    free_edges: Tensor
    """`n x e` edges that are not forced."""

    def take(self, rows: Tensor) -> TrainingCells:
        """The cells at the given rows."""
        return TrainingCells(*(part[rows] for part in self))

    def to(self, device: torch.device | str) -> TrainingCells:
        """The same on another device."""
        return TrainingCells(*(part.to(device) for part in self))


class CellAutoencoder(nn.Module):
    """A variational autoencoder between cells and points of a latent space.

    Encoding is invariant to relabelling and to what the space ignores, such as dead vertices. Decoding is always
    legal. Latents are standardised after training so that N(0, I) is the prior to sample from.

    Args:
        encoder: Canonical cells to `n x d` mean and log-variance.
        decoder: Latent points to the scores of derivations.
        space: The space of the architectures, which must have one cell.
    """

    def __init__(self, encoder: GraphEncoder, decoder: DerivationDecoder, space: Space) -> None:
        super().__init__()
        if len(space.cell_names) != 1:
            raise ValueError(f"Expected a space with one cell, but {space.name} has {len(space.cell_names)}")
        self.encoder, self.decoder, self.space = encoder, decoder, space
        self.latent_dim: int = encoder.settings["latent_dim"]
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.zeros(self.latent_dim))
        self.register_buffer("scale", torch.ones(self.latent_dim))

    @classmethod
    def for_space(cls, space: Space, *, latent_dim: int = 32, seed: int = 0, **settings: Any) -> CellAutoencoder:
        """An untrained default autoencoder for a space.

        Args:
            space: Its vocabulary sets the size of the embeddings.
            latent_dim: `d`.
            seed: Seed of the initial weights.
            settings: `encoder` and `decoder`, each a dict of keyword arguments.
        """
        size = len(space.vocabulary)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = GraphEncoder(size, **{"latent_dim": latent_dim, **settings.get("encoder", {})})
            decoder = DerivationDecoder(size, **{"latent_dim": latent_dim, **settings.get("decoder", {})})
        return cls(encoder, decoder, space)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shift.device

    def arrays(self, architectures: Sequence[Architecture] | CellArrays) -> CellArrays:
        """Architectures as canonical arrays, simplified as the space does.

        Raises:
            ValueError: if an operation is not in the vocabulary.
        """
        given = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        return canonical_arrays(self.space.topology.simplify(given), self.space.vocabulary)

    def training_cells(self, architectures: Sequence[Architecture] | CellArrays) -> TrainingCells:
        """Architectures as canonical tensors of the space's full width, with masks."""
        arrays = self.arrays(architectures)
        v = self.space.topology.max_vertices
        ops = np.full((arrays.n, v), -1, dtype=np.int8)
        adjacency = np.zeros((arrays.n, v, v), dtype=bool)
        width = min(v, arrays.ops.shape[1])
        ops[:, :width] = arrays.ops[:, :width]
        adjacency[:, :width, :width] = arrays.adjacency[:, :width, :width]
        wide = CellArrays(ops, adjacency, arrays.size)
        return TrainingCells(
            torch.from_numpy(ops), torch.from_numpy(adjacency), *decision_masks(self.space.topology, wide)
        )

    @torch.no_grad()
    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> tuple[Tensor, Tensor]:
        """Latent mean and log-variance, `n x d` each, on the model's device; in evaluation without gradients."""
        arrays = self.arrays(architectures)
        mu = torch.empty(arrays.n, self.latent_dim, device=self.device)
        logvar = torch.empty_like(mu)
        for start in range(0, arrays.n, 4096):
            part = arrays.take(slice(start, start + 4096))
            ops = torch.from_numpy(part.ops).long().to(self.device)
            adjacency = torch.from_numpy(part.adjacency).float().to(self.device)
            mu[start : start + part.n], logvar[start : start + part.n] = self.encoder(ops, adjacency)
        return (mu - self.shift) / self.scale, logvar - 2 * self.scale.log()

    def decode(
        self,
        z: Tensor,
        *,
        space: Space | None = None,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> list[Architecture]:
        """Legal architectures at latent points.

        Args:
            z: `n x d` points.
            space: Decode into this space of the same vocabulary, for instance one of more vertices.
            sample: Draw every decision; otherwise take the likeliest (greedy).
            generator: Source of the draws; the global one if None.

        Raises:
            ValueError: if `z` has another shape or the space another vocabulary.
        """
        space = space or self.space
        return space.from_arrays(self.decode_arrays(z, space=space, sample=sample, generator=generator))

    @torch.no_grad()
    def decode_arrays(
        self,
        z: Tensor,
        *,
        space: Space | None = None,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> CellArrays:
        """`decode` that ends at arrays."""
        space = space or self.space
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"Expected z to be n x {self.latent_dim}, but got shape {tuple(z.shape)}")
        if not torch.isfinite(z).all():
            raise ValueError("Expected z to be finite, but it holds NaN or infinity")
        if space.vocabulary != self.space.vocabulary:
            raise ValueError(f"Expected a space over {self.space.vocabulary}, but got {space.vocabulary}")
        inner = z.to(self.device, torch.float32) * self.scale + self.shift
        parts = [
            self.decoder.derive(inner[start : start + 4096], space.topology, sample=sample, generator=generator)
            for start in range(0, max(len(inner), 1), 4096)
        ]
        return CellArrays(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    # On disk

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.toml` and `model.safetensors` into a folder, made if it is missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        topology = self.space.topology
        lines = [
            f"format = {FORMAT}",
            f"space = {json.dumps(self.space.name)}",
            f"vocabulary = {json.dumps(list(self.space.vocabulary))}",
            f"max_vertices = {topology.max_vertices}",
        ]
        for part, module in (("encoder", self.encoder), ("decoder", self.decoder)):
            lines += ["", f"[{part}]", *(f"{key} = {value}" for key, value in module.settings.items())]
        (folder / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, device: torch.device | str = "cpu", space: Space | None = None
    ) -> CellAutoencoder:
        """A trained autoencoder that comes with the library, by name, or one of one's own, by folder.

        Args:
            name_or_path: A name such as `nasbench101`, or a folder written by `save_pretrained`.
            device: Where to put the weights.
            space: The space, if it is not one that comes with the library.

        Raises:
            FileNotFoundError: if there is no such encoder.
            ValueError: if a file is damaged or belongs to another vocabulary or format, naming file and field.
        """
        folder = Path(name_or_path)
        if not (folder / "config.toml").is_file():
            folder = content_folder("encoders") / str(name_or_path)
        config_path, weights_path = folder / "config.toml", folder / "model.safetensors"
        if not config_path.is_file():
            known = sorted(path.parent.name for path in content_folder("encoders").glob("*/config.toml"))
            raise FileNotFoundError(f"No encoder {str(name_or_path)!r}: expected a folder or one of {', '.join(known)}")
        try:
            config = tomllib.loads(config_path.read_text(encoding="utf-8"))
            version, vocabulary = config["format"], tuple(config["vocabulary"])
            if space is None:
                space = Space.load(config["space"])
                if space.topology.max_vertices != config["max_vertices"]:
                    space = Space.load(config["space"], max_vertices=config["max_vertices"])
            size = len(vocabulary)
            encoder = GraphEncoder(size, **config["encoder"])
            decoder = DerivationDecoder(size, **config["decoder"])
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{config_path}: {type(error).__name__}: {error}") from None
        if version != FORMAT:
            raise ValueError(f"{config_path}: format: expected {FORMAT}, but got {version!r}")
        if vocabulary != space.vocabulary:
            raise ValueError(f"{config_path}: vocabulary: expected {space.vocabulary}, but got {vocabulary}")
        model = cls(encoder, decoder, space)
        try:
            weights = load_file(weights_path)
            model.load_state_dict(weights)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ValueError(f"{weights_path}: {error}") from None
        broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        if broken:
            raise ValueError(f"{weights_path}: {broken[0]}: holds NaN or infinity")
        return model.to(device).eval()
