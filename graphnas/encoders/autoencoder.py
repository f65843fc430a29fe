"""The cell autoencoder: an encoder and a decoder passed in, in PyG's vocabulary."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from graphnas.cell import Architecture, CellArrays, stack_arrays
from graphnas.content import content_folder
from graphnas.encoders.decoder import DerivationDecoder, TrainingCells, decision_masks
from graphnas.encoders.dvae import DvaeEncoder
from graphnas.encoders.graph_encoder import GraphEncoder
from graphnas.encoders.legality import legal_cells
from graphnas.encoders.performance import EnsembleHead, MlpHead, PerformanceHead
from graphnas.encoders.svge_decoder import SvgeDecoder
from graphnas.encoders.svge_encoder import SvgeEncoder
from graphnas.spaces import Space
from graphnas.spaces.universal import ANY, UNIVERSAL, any_space, universal_arrays, universal_codes

LARGEST_LATENT = 1e15
"""Of a coordinate that can be decoded; far larger ones overflow single precision within the decoder."""
_CHUNK = 1024  # cells encoded or decoded at once; more do not stay in a core's cache
_STANDARDISED = 2_000  # architectures of a space that centre a universal model's latents
FORMAT = 2  # of an encoder's folder; raised when older programs could not read it


class Parts(NamedTuple):
    """The modules that an autoencoder of one kind is made of."""

    encoder: type[GraphEncoder] | type[SvgeEncoder] | type[DvaeEncoder]
    decoder: type[DerivationDecoder] | type[SvgeDecoder]
    performance: type[EnsembleHead] | type[MlpHead]
    latent_dim: int
    """Latent dimension of one cell, unless another is asked for."""


KINDS = {
    "graph": Parts(GraphEncoder, DerivationDecoder, EnsembleHead, 32),
    "universal": Parts(GraphEncoder, DerivationDecoder, EnsembleHead, 64),
    "svge": Parts(SvgeEncoder, SvgeDecoder, MlpHead, 56),
    "dvae": Parts(DvaeEncoder, DerivationDecoder, EnsembleHead, 56),
}
"""The default model; the same over the vocabulary of all spaces; SVGe as published (Lukasik et al. 2020); D-VAE's
encoder (Zhang et al. 2019) with our decoder."""


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


class CellAutoencoder(nn.Module):
    """A variational autoencoder between cells and points of a latent space.

    Encoding is invariant to relabelling and to what the space ignores, such as dead vertices. Decoding is always
    legal. Latents are standardised after training so that N(0, I) is the prior to sample from. The cells of an
    architecture pass through the same weights; their latents are concatenated, so `d` is the number of cells times
    the dimension of one.

    Args:
        encoder: Canonical cells to mean and log-variance: `encoder(ops, adjacency)`.
        decoder: Latent points to cells: `decoder.loss(z, cells, topology)` and `decoder.derive(z, topology)`.
        space: The space of the architectures.
        performance: Latent points to the performance of their architectures, if any labels were fitted.
        universal: Whether encoder and decoder speak of the labels `UNIVERSAL` instead of the space's, so that their
            weights serve any space.
    """

    def __init__(
        self,
        encoder: GraphEncoder | SvgeEncoder | DvaeEncoder,
        decoder: DerivationDecoder | SvgeDecoder,
        space: Space,
        performance: PerformanceHead | None = None,
        *,
        universal: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.performance, self.space = encoder, decoder, performance, space
        self.codes = universal_codes(space) if universal else None
        """The code of each of the space's labels in a universal model's vocabulary; None of any other model."""
        # Cells are derived in the order in which they are read, unless labels that are read alike would be mixed up.
        alike = self.codes is not None and len(set(self.codes.tolist())) < len(self.codes)
        self._labels = None if self.codes is None or alike else [UNIVERSAL[code] for code in self.codes]
        self.cell_dim = int(encoder.settings["latent_dim"])
        """Latent dimension of one cell."""
        self.latent_dim = self.cell_dim * len(space.cell_names)
        """Latent dimension `d` of an architecture."""
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.zeros(self.cell_dim))
        self.register_buffer("scale", torch.ones(self.cell_dim))

    @classmethod
    def for_space(
        cls,
        space: Space,
        *,
        kind: str = "graph",
        latent_dim: int | None = None,
        seed: int = 0,
        encoder: Mapping[str, Any] | None = None,
        decoder: Mapping[str, Any] | None = None,
    ) -> CellAutoencoder:
        """An untrained autoencoder for a space.

        Args:
            space: Its vocabulary sets the size of the embeddings.
            kind: One of `KINDS`.
            latent_dim: Latent dimension of one cell; the space's or else the kind's own if None.
            seed: Seed of the initial weights.
            encoder: Further keyword arguments of the kind's encoder.
            decoder: Likewise of its decoder.

        Raises:
            ValueError: if there is no such kind, the space has more inputs than the kind knows, or `latent_dim` is not
                positive.
        """
        if kind not in KINDS:
            raise ValueError(f"Expected kind to be one of {', '.join(KINDS)}, but got {kind!r}")
        if kind == "svge" and len(space.topology.inputs) > 1:
            raise ValueError(f"SVGe knows cells of one input, but those of {space.name} have several")
        universal, parts = kind == "universal", KINDS[kind]
        size = len(UNIVERSAL if universal else space.vocabulary)
        if latent_dim is None:
            latent_dim = space.encoder.get("latent_dim", parts.latent_dim) if kind == "graph" else parts.latent_dim
        if latent_dim < 1:
            raise ValueError(f"Expected latent_dim to be at least 1, but got {latent_dim}")
        latent = {"latent_dim": latent_dim}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(
                parts.encoder(size, **{**latent, **(encoder or {})}),
                parts.decoder(size, **{**latent, **(decoder or {})}),
                space,
                universal=universal,
            )

    def bound_to(self, space: Space) -> CellAutoencoder:
        """A universal model for another space, with the same weights and coordinates.

        Raises:
            ValueError: if the model is not universal.
        """
        if self.codes is None:
            raise ValueError(f"Expected a universal model, but this one knows {self.space.name} alone")
        model = CellAutoencoder(self.encoder, self.decoder, space, universal=True).to(self.device)
        model.shift, model.scale = self.shift, self.scale
        return model.train(self.training)

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        if self.codes is not None:
            return "universal"
        return next(
            name
            for name, parts in KINDS.items()
            if isinstance(self.encoder, parts.encoder) and isinstance(self.decoder, parts.decoder)
        )

    def add_performance_head(self, *, seed: int = 0, **settings: Any) -> PerformanceHead:
        """Give the model an untrained performance head of its kind, in place of any that it has.

        Args:
            seed: Seed of the initial weights.
            settings: Keyword arguments of the head.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = KINDS[self.kind].performance(self.latent_dim, **settings)
        self.performance = head.to(self.device)
        return head

    def predict(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What the performance head says at latent points, with gradients.

        Args:
            z: `n x d` points.

        Returns:
            `n` means and variances, in the units of the labels that it was fitted to.

        Raises:
            ValueError: if the model has no performance head or `z` has another shape.
        """
        if self.performance is None:
            raise ValueError("The autoencoder has no performance head: fit it with labels")
        z = torch.as_tensor(z)
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"Expected z to be n x {self.latent_dim}, but got shape {tuple(z.shape)}")
        mean, variance = self.performance(self._inner(z.to(self.device, torch.float32)).reshape(z.shape))
        return mean, variance

    def _inner(self, z: Tensor) -> Tensor:
        """Standardised points of architectures to the points of their cells that encoder and decoder speak of."""
        return z.reshape(-1, self.cell_dim) * self.scale + self.shift

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The labels that encoder and decoder speak of."""
        return self.space.vocabulary if self.codes is None else UNIVERSAL

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shift.device

    def arrays(self, architectures: Sequence[Architecture] | CellArrays) -> CellArrays:
        """Cells of architectures as canonical arrays, those of one architecture in consecutive rows.

        Raises:
            ValueError: if an operation is not in the vocabulary.
        """
        given = architectures if isinstance(architectures, CellArrays) else self.space.to_arrays(architectures)
        return self.space.topology.canonical(given, self._labels)

    def read(self, arrays: CellArrays) -> CellArrays:
        """Canonical cells as the encoder reads them."""
        return arrays if self.codes is None else universal_arrays(self.space, arrays)

    def training_cells(self, architectures: Sequence[Architecture] | CellArrays) -> TrainingCells:
        """Architectures as canonical tensors of the space's full width, with masks."""
        topology = self.space.topology
        arrays = self.arrays(architectures).padded(topology.max_vertices)
        ops, adjacency = torch.from_numpy(arrays.ops), torch.from_numpy(arrays.adjacency)
        if self.codes is None:
            return TrainingCells(ops, adjacency, ops, adjacency, *decision_masks(topology, arrays))
        read, named = self.read(arrays), np.append(self.codes, -1)[arrays.ops]
        return TrainingCells(
            torch.from_numpy(named.astype(np.int8)),
            adjacency,
            torch.from_numpy(read.ops),
            torch.from_numpy(read.adjacency),
            *decision_masks(topology, arrays, self.codes, len(UNIVERSAL)),
        )

    @torch.no_grad()
    def encode(self, architectures: Sequence[Architecture] | CellArrays) -> tuple[Tensor, Tensor]:
        """Latent mean and log-variance, `n x d` each, on the model's device; in evaluation without gradients."""
        arrays = self.arrays(architectures)
        chunks = range(0, max(arrays.n, 1), _CHUNK)
        parts = [self.encode_read(self.read(arrays.take(slice(start, start + _CHUNK)))) for start in chunks]
        mu, logvar = (torch.cat(part) for part in zip(*parts, strict=True))
        return mu.reshape(-1, self.latent_dim), logvar.reshape(-1, self.latent_dim)

    @torch.no_grad()
    def encode_read(self, cells: CellArrays) -> tuple[Tensor, Tensor]:
        """`encode` of single cells as `read` gives them, each of which is a row of the result."""
        ops = torch.from_numpy(cells.ops).long().to(self.device)
        mu, logvar = self.encoder(ops, torch.from_numpy(cells.adjacency).float().to(self.device))
        return (mu - self.shift) / self.scale, logvar - 2 * self.scale.log()

    def decode(
        self,
        z: Tensor,
        *,
        space: Space | None = None,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> list[Architecture]:
        """Architectures at latent points, all of them legal in the space.

        Args:
            z: `n x d` points.
            space: Decode into this space of the same vocabulary, for instance one of more vertices; a universal model
                decodes into any.
            sample: Draw every decision; otherwise take the likeliest (greedy).
            generator: Source of the draws; the global one if None.

        Raises:
            ValueError: if `z` has another shape, the space another vocabulary, or a point decodes to what is not legal,
                which only the model `svge` does: it has no masks. `decode_arrays` and `legal_cells` tell which.
        """
        space = space or self.space
        arrays = self.decode_arrays(z, space=space, sample=sample, generator=generator)
        if isinstance(self.decoder, SvgeDecoder):
            arrays, legal = legal_cells(space, arrays)
            if not legal.all():
                raise ValueError(
                    f"Expected points that decode to architectures of {space.name}, but {(~legal).sum():,} of "
                    f"{len(legal):,} do not, the first in row {int(legal.argmin())}: {self.kind} knows no masks"
                )
        return space.from_arrays(arrays)

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
        z = torch.as_tensor(z)
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"Expected z to be n x {self.latent_dim}, but got shape {tuple(z.shape)}")
        if not (z.abs() <= LARGEST_LATENT).all():
            raise ValueError(
                f"Expected z to be finite and at most {LARGEST_LATENT:g}, but it holds NaN or larger numbers"
            )
        known = self.codes is not None or space.vocabulary == self.space.vocabulary
        if not known or len(space.cell_names) != len(self.space.cell_names):
            raise ValueError(
                f"Expected a space of {len(self.space.cell_names)} cells over {self.space.vocabulary}, but got one of "
                f"{len(space.cell_names)} over {space.vocabulary}"
            )
        further: dict[str, Any] = {}
        if self.codes is not None:
            further["codes"] = torch.from_numpy(universal_codes(space)).long()
        inner = self._inner(z.to(self.device, torch.float32))
        return stack_arrays(
            [
                self.decoder.derive(
                    inner[start : start + _CHUNK], space.topology, sample=sample, generator=generator, **further
                )
                for start in range(0, max(len(inner), 1), _CHUNK)
            ]
        )

    @torch.no_grad()
    def standardise(self, architectures: Sequence[Architecture] | CellArrays) -> None:
        """Set shift and scale so that each latent of these has mean 0 and, as drawn, variance 1."""
        self.shift.zero_()
        self.scale.fill_(1.0)
        mu, logvar = (part.reshape(-1, self.cell_dim) for part in self.encode(architectures))
        self.shift.copy_(mu.mean(0))
        self.scale.copy_((mu.var(0, unbiased=False) + logvar.exp().mean(0)).sqrt())

    # On disk

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.toml` and `model.safetensors` into a folder, made if it is missing.

        The file of a space that does not come with the library is copied beside them. Each file is replaced at once.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / "space.toml"
        if self.space.path.resolve().parent != content_folder("spaces").resolve():
            if not (own.exists() and own.samefile(self.space.path)):
                _replace(own, self.space.path.read_bytes())
        else:
            # That of an encoder which the folder held before.
            own.unlink(missing_ok=True)
        weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()})
        lines = [
            f"format = {FORMAT}",
            f"model = {json.dumps(self.kind)}",
            f"space = {json.dumps(self.space.name)}",
            f"vocabulary = {json.dumps(list(self.vocabulary))}",
            f"sha256 = {json.dumps(hashlib.sha256(weights).hexdigest())}",
        ]
        parts = {
            "topology": self.space.topology.settings,
            "encoder": self.encoder.settings,
            "decoder": self.decoder.settings,
        }
        if self.performance is not None:
            parts["performance"] = self.performance.settings
        for part, settings in parts.items():
            # Numbers, true and false, and lists of names are written alike in JSON and TOML.
            lines += ["", f"[{part}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
        # The configuration comes last: a folder that has one has everything, though a kill may leave the old one beside
        # new weights, which its digest then refuses.
        _replace(folder / "model.safetensors", weights)
        _replace(folder / "config.toml", ("\n".join(lines) + "\n").encode())

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, device: torch.device | str = "cpu", space: Space | None = None
    ) -> CellAutoencoder:
        """A trained autoencoder that comes with the library, by name, or one of one's own, by folder.

        Args:
            name_or_path: A name such as `nasbench101`, or a folder written by `save_pretrained`.
            device: Where to put the weights.
            space: The space, such as one with other limits than the encoder was trained on. A universal encoder takes
                any; its latents are then centred and scaled by random architectures of this space.

        Raises:
            FileNotFoundError: if there is no such encoder.
            ValueError: if a file is damaged or belongs to another vocabulary or format, naming file and field.
        """
        folder = _folder(name_or_path)
        config_path, weights_path = folder / "config.toml", folder / "model.safetensors"
        try:
            config = tomllib.loads(config_path.read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise ValueError(f"{config_path}: format: expected {FORMAT}, but got {config['format']!r}")
            if config["model"] not in KINDS:
                kinds = ", ".join(KINDS)
                raise ValueError(f"{config_path}: model: expected one of {kinds}, but got {config['model']!r}")
            vocabulary, digest, parts = tuple(config["vocabulary"]), config["sha256"], KINDS[config["model"]]
            universal = config["model"] == "universal"
            if space is None and universal and config["space"] == ANY:
                space = any_space(**config["topology"])
            elif space is None:
                copy = folder / "space.toml"
                space = Space.load(copy if copy.is_file() else config["space"], **config["topology"])
            encoder = parts.encoder(len(vocabulary), **config["encoder"])
            decoder = parts.decoder(len(vocabulary), **config["decoder"])
            model = cls(encoder, decoder, space, universal=universal)
            if "performance" in config:
                model.add_performance_head(**config["performance"])
        except KeyError as error:
            raise ValueError(f"{config_path}: {error.args[0]}: expected a setting, but it is missing") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, RuntimeError) as error:
            raise ValueError(f"{config_path}: {type(error).__name__}: {error}") from None
        except ValueError as error:
            raise error if str(config_path) in str(error) else ValueError(f"{config_path}: {error}") from None
        if vocabulary != model.vocabulary:
            raise ValueError(f"{config_path}: vocabulary: expected {model.vocabulary}, but got {vocabulary}")
        try:
            data = weights_path.read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                raise ValueError(f"expected SHA-256 {digest} as in config.toml: the file is damaged or another's")
            weights = load(data)
            model.load_state_dict(weights)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise ValueError(f"{weights_path}: {error}") from None
        if universal and space.name != config["space"]:
            model.standardise(space.sample_arrays(_STANDARDISED, np.random.default_rng(0)))
        broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        if broken:
            raise ValueError(f"{weights_path}: {broken[0]}: holds NaN or infinity")
        return model.to(device).eval()


def encoder_digest(name_or_path: str | Path) -> str:
    """The first 16 hex digits of the SHA-256 of an encoder's weights, as its `config.toml` has it.

    Raises:
        FileNotFoundError: if there is no such encoder.
    """
    config = (_folder(name_or_path) / "config.toml").read_text(encoding="utf-8")
    digest: str = tomllib.loads(config)["sha256"][:16]
    return digest


def _folder(name_or_path: str | Path) -> Path:
    """The folder of an encoder.

    Raises:
        FileNotFoundError: if there is none.
    """
    folder = Path(name_or_path)
    if not (folder / "config.toml").is_file():
        folder = content_folder("encoders") / str(name_or_path)
    if not (folder / "config.toml").is_file():
        known = sorted(path.parent.name for path in content_folder("encoders").glob("*/config.toml"))
        raise FileNotFoundError(f"No encoder {str(name_or_path)!r}: expected a folder or one of {', '.join(known)}")
    return folder


def _replace(path: Path, data: bytes) -> None:
    """Write a file as a whole: after a kill it holds the old data or the new, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
