from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder, fit, quality, structure_targets
from graphnas.encoders.fitting import reconstruction
from graphnas.encoders.objective import SVGE, SVGE_FINE_TUNING, TERMS, Recipe
from graphnas.encoders.prior import CollapseError
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
CELLS = SPACE.sample(40, np.random.default_rng(0))
SMALL = {
    "encoder": {"width": 32, "readout": 64, "places": 64, "graph": 64},
    "decoder": {"width": 32, "pair": 16},
}
EIGHT = Recipe(batch_size=8, edits=0.0)


def small_model(seed: int = 0, latent_dim: int = 8) -> CellAutoencoder:
    return CellAutoencoder.for_space(SPACE, latent_dim=latent_dim, seed=seed, **SMALL)


def small_svge(space: Space = SPACE) -> CellAutoencoder:
    size = {"hidden": 24}
    return CellAutoencoder.for_space(space, kind="svge", encoder=size, decoder=size)


class Killed(Exception):
    pass


def kill(row: Mapping[str, float]) -> None:
    """Stop at the end, where the last checkpoint is 40 steps old."""
    if row["step"] == 240:
        raise Killed


def assert_equal_weights(one: CellAutoencoder, other: CellAutoencoder) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_handful_of_cells_is_learnt_by_heart_with_progress() -> None:
    model, rows = small_model(), []
    recipe = Recipe(batch_size=40, beta=0.01, edits=0.0)
    history = fit(model, CELLS, steps=510, recipe=recipe, progress=lambda row: rows.append(dict(row)))
    assert rows == history
    assert [row["step"] for row in rows] == [100, 200, 300, 400, 500, 510]
    for row in rows:
        assert {*TERMS, "steps", "done", "cells_per_second"} == set(row) - {"step"}
        assert row["done"] == row["step"] / 510
    assert rows[-1]["reconstruction_nats"] < rows[0]["reconstruction_nats"] / 3
    measured = quality(model, CELLS, train=CELLS, prior_samples=200)
    assert measured["validity"] == 1.0
    assert measured["reconstruction"] == reconstruction(model, CELLS) >= 0.95
    assert measured["active_units"] >= 2


@pytest.mark.slow
def test_every_thousand_steps_the_held_out_reconstruction_is_measured() -> None:
    history = fit(small_model(), CELLS, validation=CELLS[:5], steps=1010, recipe=EIGHT)
    assert [row["step"] for row in history if "reconstruction" in row] == [1000]
    assert history[9]["reconstruction"] in (0.8, 1.0)


def test_one_latent_dimension_is_no_collapse() -> None:
    model = small_model(latent_dim=1)
    fit(model, CELLS, steps=150, recipe=Recipe(batch_size=40, beta=0.01, edits=0.0))
    assert quality(model, CELLS, train=CELLS, prior_samples=10)["active_units"] == 1


def test_cells_beyond_the_space_are_refused() -> None:
    small = Space.load("nasbench101", max_vertices=5)
    model = CellAutoencoder.for_space(small, latent_dim=8, **SMALL)
    beyond = [len(cell.ops) > 5 for (cell,) in (architecture.cells for architecture in CELLS)]
    message = rf"cells of nasbench101 with .*'max_vertices': 5.*, but {sum(beyond)} of 40 are not, the first in row"
    with pytest.raises(ValueError, match=message):
        fit(model, CELLS, steps=1, recipe=EIGHT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps, report_every and minutes to be positive, but got 0, 100 and None"),
        ({"minutes": 0.0}, "but got 4000, 100 and 0.0"),
        ({"precision": "bf16"}, "precision to be float32 or bfloat16, but got 'bf16'"),
        ({"labels": [1.0, 2.0]}, "labels to be 40 numbers"),
        ({"labels": [np.inf] * 40}, "labels of at most 1e"),
        ({"labels": [1e-30 * row for row in range(40)]}, "equal or differ by 1e-15 or more"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(small_model(), CELLS, recipe=EIGHT, **options)


def test_wrong_recipes_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="schedule to be one_cycle or plateau, but got 'cosine'"):
        Recipe(schedule="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_size and learning_rate to be positive"):
        Recipe(batch_size=0)
    with pytest.raises(ValueError, match="latent_dim to be at least 1, but got -1"):
        CellAutoencoder.for_space(SPACE, latent_dim=-1)


@pytest.mark.parametrize(("held_out", "samples", "name"), [([], 10, "held_out"), (CELLS, 0, "prior_samples")])
def test_quality_needs_something_to_measure(held_out: list[Architecture], samples: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"Expected {name} to"):
        quality(small_model(), held_out, train=CELLS, prior_samples=samples)


def test_equal_seeds_give_equal_weights() -> None:
    models = [small_model() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        fit(model, CELLS, steps=20, recipe=EIGHT, seed=seed)
    assert_equal_weights(models[0], models[1])
    first, other = models[0].state_dict(), models[2].state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["labels", "plateau"])
def test_a_killed_fit_goes_on_to_the_same_weights(tmp_path: Path, case: str) -> None:
    recipe = EIGHT if case == "labels" else Recipe(batch_size=8, learning_rate=0.02, schedule="plateau", edits=0.0)
    labels = np.where(np.arange(40) < 12, np.arange(40.0), np.nan) if case == "labels" else None
    straight, stopped, resumed = small_model(), small_model(), small_model()
    expected = fit(straight, CELLS, steps=240, recipe=recipe, labels=labels)
    with pytest.raises(Killed):
        fit(stopped, CELLS, steps=240, recipe=recipe, labels=labels, checkpoint=tmp_path, progress=kill)
    history = fit(resumed, CELLS, steps=240, recipe=recipe, labels=labels, checkpoint=tmp_path)
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]
    assert_equal_weights(straight, resumed)
    # A finished fit stays on disk until its caller has the model safe; asked for again, it is not done again.
    again = small_model()
    assert fit(again, CELLS, steps=240, recipe=recipe, labels=labels, checkpoint=tmp_path) == history
    assert_equal_weights(straight, again)


def test_a_checkpoint_of_another_fit_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    options = {"steps": 240, "recipe": EIGHT, "checkpoint": tmp_path}
    with pytest.raises(Killed):
        fit(small_model(), CELLS, progress=kill, **options)  # type: ignore[arg-type]
    labels = np.arange(40.0)
    for changed, message in (
        ({"seed": 7}, r"fit\.safetensors: .* another fit: seed was 0 and is 7"),
        ({"recipe": Recipe(batch_size=8, beta=0.5, edits=0.0)}, "another fit: beta was 0.02 and is 0.5"),
        ({"precision": "bfloat16"}, "another fit: precision was 'float32' and is 'bfloat16'"),
        ({"labels": labels}, "another fit: labels was None"),
        ({"steps": 400}, "another fit: steps was 240 and is 400"),
        ({"targets": np.arange(40.0)[:, None]}, "another fit: targets was"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(small_model(), CELLS, **{**options, **changed})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another fit: cells was"):
        fit(small_model(), CELLS[1:], **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another fit: encoder was"):
        fit(small_model(latent_dim=4), CELLS, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another fit: weights was"):
        fit(small_model(seed=9), CELLS, **options)  # type: ignore[arg-type]
    path = tmp_path / "fit.safetensors"
    for damaged in (path.read_bytes()[:5000], b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"fit\.safetensors: the checkpoint is damaged"):
            fit(small_model(), CELLS, **options)  # type: ignore[arg-type]


def test_fitting_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(small_model(), CELLS, steps=3)
    assert torch.equal(torch.rand(3), expected)


def test_a_latent_space_without_information_is_an_error() -> None:
    with pytest.raises(CollapseError, match="of 8 units are active"):
        fit(small_model(), CELLS, steps=150, recipe=Recipe(beta=50.0, auxiliary=0.0, metric=0.0))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="targets to be 40 x t"):
        fit(small_model(), CELLS, targets=np.zeros((3, 1)))
    with pytest.raises(ValueError, match="at least one cell"):
        fit(small_model(), [])
    with pytest.raises(ValueError, match="seed to be from 0 to 2147483647, but got -1"):
        fit(small_model(), CELLS, seed=-1)
    with pytest.raises(ValueError, match=r"labels to be 40 numbers, but got shape \(3,\)"):
        fit(small_model(), CELLS, labels=np.zeros(3))
    with pytest.raises(ValueError, match="two or more labels that are known, but got 1"):
        fit(small_model(), CELLS, labels=np.where(np.arange(40) < 1, 1.0, np.nan))


def test_a_budget_of_minutes_ends_the_fit() -> None:
    history: list[dict[str, float]] = []
    fit(small_model(), CELLS, minutes=0.02, steps=10**6, progress=lambda row: history.append(dict(row)))
    assert 0 < history[-1]["step"] < 10**5
    assert history[-1]["done"] >= 1


def test_half_precision_leaves_weights_in_single_precision() -> None:
    model = small_model()
    history = fit(model, CELLS, steps=110, recipe=EIGHT, precision="bfloat16")
    assert history[-1]["loss"] < history[0]["loss"]
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_edit_distances_shape_the_latent_space_where_they_are_known() -> None:
    with_edits, without = (
        fit(small_model(), CELLS, steps=2, recipe=Recipe(batch_size=8, edits=share))[0]["metric_error"]
        for share in (1.0, 0.0)
    )
    assert with_edits != without


def test_latents_of_the_training_cells_have_mean_zero_and_one_spread() -> None:
    model = small_model()
    fit(model, CELLS, steps=50, recipe=EIGHT)
    mu, logvar = model.encode(CELLS)
    torch.testing.assert_close(mu.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    variance = mu.var(0, unbiased=False) + logvar.exp().mean(0)
    torch.testing.assert_close(variance, variance[:1].expand(8), atol=1e-3, rtol=1e-3)
    assert 0.1 < variance[0] < 2


class TestSvge:
    def test_its_recipe_and_its_fine_tuning_run_through_the_same_loop(self) -> None:
        space = Space.load("nasbench101", max_vertices=5)
        cells = space.sample(40, np.random.default_rng(0))
        model = small_svge(space)
        before = fit(model, cells, steps=105, recipe=SVGE)
        assert np.isfinite(before[-1]["loss"])
        assert before[-1]["auxiliary_error"] == before[-1]["metric_error"] == before[-1]["performance_loss"] == 0
        labels = np.array([float(len(one.cells[0].edges)) for one in cells])
        after = fit(model, cells, labels=labels, steps=120, recipe=SVGE_FINE_TUNING)
        assert after[-1]["performance_loss"] < after[0]["performance_loss"]
        mean, variance = model.predict(model.encode(cells)[0])
        assert np.corrcoef(mean.detach().numpy(), labels)[0, 1] > 0.6
        assert torch.equal(variance, torch.zeros(40))

    def test_illegal_decodings_are_counted_as_not_reconstructed(self) -> None:
        # Cells of this space that are not complete graphs have no hash.
        space = Space.load("nasbench201")
        drawn = space.sample(20, np.random.default_rng(0))
        assert reconstruction(small_svge(space), drawn) == 0.0
        measured = quality(small_svge(space), drawn, train=drawn, prior_samples=50)
        assert measured["validity"] == measured["reconstruction"] == 0.0


class TestLabels:
    """A model of 500 cells, 120 of them with a label."""

    cells = SPACE.sample_arrays(700, np.random.default_rng(4))
    labels = np.array(
        [one.cells[0].ops.count("conv3x3") - 0.2 * len(one.cells[0].edges) for one in SPACE.from_arrays(cells)]
    )
    fitted, other = cells.take(slice(0, 500)), cells.take(slice(500, 700))

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> CellAutoencoder:
        model = small_model(latent_dim=16)
        known = np.where(np.arange(500) < 120, 50 + cls.labels[:500], np.nan)
        history = fit(model, cls.fitted, labels=known, steps=250, recipe=Recipe(batch_size=64, edits=0.0))
        assert history[-1]["performance_loss"] < history[0]["performance_loss"]
        return model

    def test_others_are_predicted_from_few_labels_in_the_labels_units(self, model: CellAutoencoder) -> None:
        mean, variance = model.predict(model.encode(self.other)[0])
        assert np.corrcoef(mean.detach().numpy(), self.labels[500:])[0, 1] > 0.8
        assert mean.mean().item() == pytest.approx(50 + self.labels[500:].mean(), abs=0.3)
        # Nearly all lie within two standard deviations of what is predicted, and these are not just large.
        error = (mean.detach().numpy() - self.labels[500:] - 50) / variance.detach().sqrt().numpy()
        assert np.mean(np.abs(error) < 1.96) > 0.88
        assert variance.mean().sqrt().item() < self.labels.std()

    def test_predictions_have_gradients_in_the_latent_point(self, model: CellAutoencoder) -> None:
        z = model.encode(self.other)[0].requires_grad_()
        mean, variance = model.predict(z)
        (gradient,) = torch.autograd.grad(mean.sum(), z, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert (gradient.norm(dim=1) > 0).all()
        step = z.detach() + 0.05 * gradient / gradient.norm(dim=1, keepdim=True)
        assert (model.predict(step)[0] > mean).double().mean() > 0.95
        assert torch.isfinite(torch.autograd.grad(variance.sum(), z)[0]).all()

    def test_the_variance_grows_away_from_the_cells(self, model: CellAutoencoder) -> None:
        z = model.encode(self.fitted)[0]
        near, far = model.predict(z)[1], model.predict(8 * z)[1]
        assert far.median() > 5 * near.median()

    def test_structure_is_linear_in_the_latent_mean(self, model: CellAutoencoder) -> None:
        targets = structure_targets(self.cells, SPACE.vocabulary)[:, :3]
        known, new = (
            np.column_stack([model.encode(part)[0].double().numpy(), np.ones(part.n)])
            for part in (self.fitted, self.other)
        )
        solution = np.linalg.lstsq(known, targets[:500], rcond=None)[0]
        rest = targets[500:] - new @ solution
        assert (1 - (rest**2).mean(0) / targets[500:].var(0)).min() > 0.8

    def test_a_saved_model_predicts_the_same(self, model: CellAutoencoder, tmp_path: Path) -> None:
        model.save_pretrained(tmp_path)
        loaded = CellAutoencoder.from_pretrained(tmp_path)
        z = model.encode(self.other)[0]
        for one, other in zip(model.predict(z), loaded.predict(z), strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
# What torch.compile warns of lies within it.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_a_compiled_fit_is_the_same_but_for_rounding() -> None:
    plain, compiled = small_model(), small_model()
    expected = fit(plain, CELLS, steps=40, recipe=EIGHT)
    history = fit(compiled, CELLS, steps=40, recipe=EIGHT, compiled=True)
    assert history[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-3)


SCRIPT = """
import os, sys
import numpy as np, torch
from torch import distributed
torch.set_num_threads(1)
from graphnas.encoders import CellAutoencoder, fit
from graphnas.encoders.objective import Recipe
from graphnas.spaces import Space
folder, steps, stop, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), len(sys.argv) > 4
rank = 0
if group:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
space = Space.load(os.environ.get("SPACE", "nasbench101"))
model = CellAutoencoder.for_space(
    space, latent_dim=8, encoder={"width": 32, "readout": 64, "places": 64, "graph": 64},
    decoder={"width": 32, "pair": 16},
)
cells = space.sample(40, np.random.default_rng(0))
recipe = Recipe(batch_size=8, edits=0.0)
def progress(row):
    if row["step"] == stop:
        os.kill(os.getpid(), 9)
fit(model, cells, steps=steps, recipe=recipe, checkpoint=folder + "/checkpoint", progress=progress)
torch.save(model.state_dict(), f"{folder}/{rank}.pt")
if group:
    distributed.destroy_process_group()
"""


def run_script(folder: Path, *arguments: object, processes: int = 1, space: str = "nasbench101") -> int:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable]
    words = [str(script), str(folder), *map(str, arguments)]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        words.append("group")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "SPACE": space}
    return subprocess.run([*command, *words], env=environment, capture_output=True, timeout=300, check=False).returncode


@pytest.mark.slow
def test_two_processes_fit_a_space_without_decisions_on_edges(tmp_path: Path) -> None:
    assert run_script(tmp_path, 20, 0, processes=2, space="nasbench201") == 0
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.slow
def test_a_fit_killed_at_any_time_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    straight = small_model()
    fit(straight, CELLS, steps=1200, recipe=EIGHT)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path), "1200", "0"]
    checkpoint = tmp_path / "checkpoint" / "fit.safetensors"
    for _ in range(3):
        with subprocess.Popen(command, env=environment) as process:
            seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            # Killed a moment after a new checkpoint, wherever that is.
            while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == seen):
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    assert run_script(tmp_path, 1200, 0) == 0
    resumed = torch.load(tmp_path / "0.pt", weights_only=True)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in straight.state_dict().items())


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_after_a_kill_too(tmp_path: Path) -> None:
    weights = []
    for name, stops in (("straight", (0,)), ("killed", (300, 0))):
        folder = tmp_path / name
        folder.mkdir()
        codes = [run_script(folder, 420, stop, processes=2) for stop in stops]
        assert [code == 0 for code in codes] == [stop == 0 for stop in stops]
        weights += [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for other in weights[1:]:
        assert all(torch.equal(tensor, other[name]) for name, tensor in weights[0].items())
