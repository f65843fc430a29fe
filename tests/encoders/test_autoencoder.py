from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import relabelled

from graphnas.cell import Architecture, Cell
from graphnas.encoders import CellAutoencoder, kl_to_standard_normal, legal_cells, reparameterize
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
MODEL = CellAutoencoder.for_space(SPACE, seed=3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_relabelling_and_dead_vertices_do_not_move_the_latent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = SPACE.sample(1, rng)[0]
    cell = relabelled(one.cells[0], rng)
    # A vertex that feeds nothing, put before the output.
    edges = {(i + (i == cell.size - 1), j + (j == cell.size - 1)) for i, j in cell.edges} | {(0, cell.size - 1)}
    dead = Cell((*cell.ops[:-1], "conv3x3", "output"), frozenset(edges))
    mu, logvar = MODEL.encode([one, Architecture(SPACE.name, (cell,)), Architecture(SPACE.name, (dead,))])
    torch.testing.assert_close(mu[1:], mu[:1].expand(2, -1))
    torch.testing.assert_close(logvar[1:], logvar[:1].expand(2, -1))


def test_a_batch_is_encoded_and_decoded_as_its_members_are() -> None:
    cells = SPACE.sample(12, np.random.default_rng(0))
    mu, _ = MODEL.encode(cells)
    alone = torch.cat([MODEL.encode([one])[0] for one in cells])
    torch.testing.assert_close(mu, alone, rtol=1e-4, atol=1e-5)
    z = torch.randn(12, MODEL.latent_dim, generator=torch.Generator().manual_seed(0))
    assert MODEL.decode(z) == [MODEL.decode(row[None])[0] for row in z]


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 30.0), st.booleans())
@settings(max_examples=20)
def test_every_decoding_is_legal(seed: int, scale: float, sample: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(16, MODEL.latent_dim, generator=generator)
    for one in MODEL.decode(z, sample=sample, generator=generator):
        SPACE.validate(one)


@pytest.mark.parametrize(("vertices", "edges"), [(8, 9), (9, 14), (24, 60)])
def test_the_same_weights_serve_larger_cells(vertices: int, edges: int) -> None:
    larger = Space.load("nasbench101", max_vertices=vertices, max_edges=edges)
    generator = torch.Generator().manual_seed(1)
    z = 3 * torch.randn(100, MODEL.latent_dim, generator=generator)
    decoded = MODEL.decode(z, space=larger, sample=True, generator=generator)
    for one in decoded:
        larger.validate(one)
    assert max(one.cells[0].size for one in decoded) > 7
    mu, logvar = MODEL.encode(decoded)
    assert mu.shape == (100, MODEL.latent_dim)
    assert torch.isfinite(mu).all()
    assert torch.isfinite(logvar).all()


def test_a_space_of_other_labels_is_no_place_to_decode_into() -> None:
    with pytest.raises(ValueError, match="Expected a space of 1 cells over"):
        MODEL.decode(torch.zeros(1, 32), space=Space.load("enas"))


def test_no_points_and_no_cells_give_no_rows() -> None:
    assert MODEL.decode(torch.empty(0, MODEL.latent_dim)) == []
    assert MODEL.encode([])[0].shape == (0, MODEL.latent_dim)


def test_decode_refuses_points_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"n x 32, but got shape \(3,\)"):
        MODEL.decode(torch.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        MODEL.decode(torch.full((1, 32), torch.nan))


def test_saving_keeps_every_bit(tmp_path: Path) -> None:
    MODEL.save_pretrained(tmp_path / "mine")
    loaded = CellAutoencoder.from_pretrained(tmp_path / "mine")
    cells = SPACE.sample(5, np.random.default_rng(0))
    assert torch.equal(loaded.encode(cells)[0], MODEL.encode(cells)[0])


def test_damaged_encoders_are_refused_by_file_and_field(tmp_path: Path) -> None:
    MODEL.save_pretrained(tmp_path)
    config, weights = tmp_path / "config.toml", tmp_path / "model.safetensors"
    good = config.read_text(encoding="utf-8"), weights.read_bytes()
    for old, new, message in (
        ("format = 2", "format = 1", "config.toml: format: expected 2, but got 1"),
        ("format = 2", "", "config.toml.*format"),
        (
            'model = "graph"',
            'model = "tree"',
            "config.toml: model: expected one of graph, universal, svge, dvae, but got 'tree'",
        ),
        ('"conv1x1"', '"conv5x5"', r"config.toml: vocabulary: expected .*conv1x1.*, but got .*conv5x5"),
        ('sha256 = "', 'sha256 = "0', r"model\.safetensors: expected SHA-256 0"),
        ("width = 128", "width = 64", r"model\.safetensors"),
        ("rounds = 2", "colour = 2", "config.toml.*colour"),
        ("[encoder]", "[encoder", "config.toml"),
    ):
        assert old in good[0]
        config.write_text(good[0].replace(old, new, 1), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            CellAutoencoder.from_pretrained(tmp_path)
    config.write_text(good[0], encoding="utf-8")
    # The last has one bit of a weight turned.
    for bytes_ in (good[1][:1000], b"", good[1][:-1] + bytes([good[1][-1] ^ 1])):
        weights.write_bytes(bytes_)
        with pytest.raises(ValueError, match=r"model\.safetensors: expected SHA-256 [0-9a-f]{64}"):
            CellAutoencoder.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        CellAutoencoder.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="No encoder 'nowhere'"):
        CellAutoencoder.from_pretrained("nowhere")


def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path) -> None:
    broken = CellAutoencoder.for_space(SPACE, seed=3)
    with torch.no_grad():
        broken.decoder.latent.bias[0] = torch.nan  # type: ignore[union-attr, index]
    broken.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model\.safetensors: decoder\.latent\.bias: holds NaN or infinity"):
        CellAutoencoder.from_pretrained(tmp_path)


def test_there_are_four_kinds_and_no_others() -> None:
    for kind, latent_dim in (("graph", 32), ("universal", 64), ("svge", 56), ("dvae", 56)):
        model = CellAutoencoder.for_space(SPACE, kind=kind)
        assert (model.kind, model.cell_dim, model.latent_dim) == (kind, latent_dim, latent_dim)
    with pytest.raises(ValueError, match="kind to be one of graph, universal, svge, dvae, but got 'tree'"):
        CellAutoencoder.for_space(SPACE, kind="tree")
    with pytest.raises(ValueError, match="cells of one input, but those of darts have several"):
        CellAutoencoder.for_space(Space.load("darts"), kind="svge")


def test_equal_seeds_give_equal_initial_weights_without_touching_the_global_state() -> None:
    state = torch.get_rng_state()
    models = [CellAutoencoder.for_space(SPACE, seed=seed) for seed in (3, 4)]
    for model in models:
        model.add_performance_head(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(models[0].encoder.mu.weight, MODEL.encoder.mu.weight)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(models[1].encoder.mu.weight, MODEL.encoder.mu.weight)  # type: ignore[union-attr, arg-type]


def test_a_model_without_labels_predicts_nothing() -> None:
    with pytest.raises(ValueError, match="no performance head: fit it with labels"):
        MODEL.predict(torch.zeros(1, 32))


def test_a_performance_head_is_saved_with_its_scale(tmp_path: Path) -> None:
    model = CellAutoencoder.for_space(SPACE, seed=3)
    head = model.add_performance_head(members=3, hidden=16)
    head.label_mean.fill_(90.0)
    model.save_pretrained(tmp_path)
    loaded = CellAutoencoder.from_pretrained(tmp_path)
    z = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.predict(z)[0], model.predict(z)[0])
    assert loaded.performance is not None
    assert loaded.performance.settings == {"members": 3, "hidden": 16}


def test_kl_against_torch() -> None:
    mu, logvar = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    normal = torch.distributions.Normal(mu, (logvar / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_standard_normal(mu, logvar), expected)


def test_reparameterization_has_the_stated_moments() -> None:
    generator = torch.Generator().manual_seed(0)
    z = reparameterize(torch.full((100_000,), 2.0), torch.full((100_000,), 0.5), generator)
    assert z.mean() == pytest.approx(2.0, abs=0.02)
    assert z.var() == pytest.approx(np.exp(0.5), rel=0.02)


class TestShippedEncoder:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> CellAutoencoder:
        return CellAutoencoder.from_pretrained("nasbench101")

    def test_it_returns_cells_from_their_latent_means(self, model: CellAutoencoder) -> None:
        cells = SPACE.sample(1000, np.random.default_rng(11))
        decoded = model.decode(model.encode(cells)[0])
        same = [SPACE.hash(a) == SPACE.hash(b) for a, b in zip(cells, decoded, strict=True)]
        assert np.mean(same) >= 0.99

    def test_prior_samples_are_mostly_distinct(self, model: CellAutoencoder) -> None:
        z = torch.randn(2000, model.latent_dim, generator=torch.Generator().manual_seed(0))
        assert len(set(SPACE.hashes(model.decode_arrays(z)))) >= 0.95 * 2000

    def test_latents_are_standard(self, model: CellAutoencoder) -> None:
        mu, logvar = model.encode(SPACE.sample(2000, np.random.default_rng(12)))
        torch.testing.assert_close(mu.mean(0), torch.zeros(mu.shape[1]), atol=0.15, rtol=0)
        # All latents are equally wide, at most as wide as the prior, which reaches out beyond the cells.
        variance = mu.var(0) + logvar.exp().mean(0)
        torch.testing.assert_close(variance / variance.mean(), torch.ones(mu.shape[1]), atol=0.2, rtol=0)
        assert 1 / 1.6**2 - 0.1 <= variance.mean() <= 1.1


def test_the_space_of_an_encoder_is_the_one_it_was_saved_with(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    # Named like a space that comes with the library, but another one.
    own.write_text(SPACE.path.read_text().replace("kernel = 1 }", "kernel = 7 }"))
    changed = Space.load(own)
    assert changed.operations != SPACE.operations
    folder = tmp_path / "encoder"
    CellAutoencoder.for_space(changed, latent_dim=4).save_pretrained(folder)
    assert CellAutoencoder.from_pretrained(folder).space.operations == changed.operations
    # Another encoder in the same folder leaves nothing of the first.
    CellAutoencoder.for_space(Space.load("nasbench201"), latent_dim=4).save_pretrained(folder)
    assert CellAutoencoder.from_pretrained(folder).space.name == "nasbench201"
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "model.safetensors"]


def test_a_model_without_masks_says_what_is_not_legal_and_can_be_searched_with() -> None:
    svge = CellAutoencoder.for_space(SPACE, kind="svge", latent_dim=8, encoder={"hidden": 16}, decoder={"hidden": 16})
    z = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    cells, legal = legal_cells(SPACE, svge.decode_arrays(z, sample=True, generator=torch.Generator().manual_seed(0)))
    assert 0 < legal.sum() < 200
    with pytest.raises(ValueError, match=f"but {(~legal).sum()} of 200 do not, the first in row"):
        svge.decode(z, sample=True, generator=torch.Generator().manual_seed(0))
    for architecture in SPACE.from_arrays(cells.take(legal)):
        SPACE.validate(architecture)


def test_an_architecture_of_another_number_of_cells_is_refused() -> None:
    darts = Space.load("darts")
    model = CellAutoencoder.for_space(darts, latent_dim=4)
    (one,) = darts.sample(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Expected the cells normal, reduce, but architecture 1 has 1"):
        model.encode([one, Architecture("darts", one.cells[:1])])
