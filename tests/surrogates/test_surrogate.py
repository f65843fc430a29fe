from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from graphnas.cell import Architecture, Cell
from graphnas.evaluate import EvaluationFailed
from graphnas.predictors import encoding
from graphnas.spaces import Space
from graphnas.surrogates import (
    ENSEMBLES,
    Archive,
    Surrogate,
    SurrogateEvaluator,
    assess,
    fit_surrogate,
    held_out,
    leave_one_sampler_out,
    tune,
)
from graphnas.surrogates.assessment import _covered
from graphnas.surrogates.surrogate import _digest

SPACE = Space.load("nasbench201")
ARCHITECTURES = SPACE.sample(160, np.random.default_rng(0))
_FLOW = encoding(SPACE, "flow")(ARCHITECTURES)
VALUES = 0.7 + 0.05 * np.tanh(_FLOW[:, :27] @ np.random.default_rng(1).standard_normal(27) / 4)
ARCHIVE = Archive.of(
    SPACE,
    ARCHITECTURES,
    VALUES,
    samplers=["random"] * 80 + ["evolution"] * 50 + ["tpe"] * 30,
    seconds=np.exp(VALUES * 10),
)
SMALL = {
    "xgb": {"rounds": 60},
    "lgb": {"rounds": 60},
    "gin": {"epochs": 40, "width": 24},
    "gnn": {"epochs": 40, "width": 24},
    "latent-gp": {},
}


@pytest.fixture(scope="module", params=sorted(ENSEMBLES))
def surrogate(request: pytest.FixtureRequest) -> Surrogate:
    return fit_surrogate(ARCHIVE, kind=request.param, members=2, settings=SMALL[request.param], noise=0.01)


def test_it_predicts_values_and_seconds(surrogate: Surrogate) -> None:
    mean, std = surrogate.predict(ARCHITECTURES)
    assert np.corrcoef(mean, VALUES)[0, 1] > 0.8
    assert (std >= 0).all()
    assert std.max() > 0
    seconds = surrogate.predict_seconds(ARCHITECTURES)
    assert seconds is not None
    assert np.corrcoef(np.log(seconds), VALUES)[0, 1] > 0.8


def test_equal_fits_are_equal_files_that_predict_the_same(surrogate: Surrogate, tmp_path: Path) -> None:
    kind = surrogate.ensemble.kind
    twin = fit_surrogate(ARCHIVE, kind=kind, members=2, settings=SMALL[kind], noise=0.01)
    surrogate.save(tmp_path / "one")
    twin.save(tmp_path / "other")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 4, files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes(), file
    loaded = Surrogate.load(tmp_path / "one")
    np.testing.assert_array_equal(loaded.predict(ARCHITECTURES).mean, surrogate.predict(ARCHITECTURES).mean)
    assert loaded.about == json.loads(json.dumps(surrogate.about))
    assert (loaded.noise, loaded.spread) == (0.01, surrogate.spread)
    # Saving anew leaves nothing of the old one.
    fit_surrogate(ARCHIVE, kind=kind, members=3, settings=SMALL[kind]).save(tmp_path / "one")
    twin.save(tmp_path / "one")
    assert len(list((tmp_path / "one" / "values").iterdir())) == 2


def test_what_was_altered_is_refused(surrogate: Surrogate, tmp_path: Path) -> None:
    surrogate.save(tmp_path)
    (member,) = (tmp_path / "seconds").iterdir()
    member.write_bytes(member.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=rf"{member.name}: missing, or not the file that surrogate.json"):
        Surrogate.load(tmp_path)
    config = json.loads((tmp_path / "surrogate.json").read_text())
    for key, value, reason in (
        ("format", 9, "format: expected 3, but got 9"),
        ("noise", 9.0, "sha256: expected .*, but got .*: the file was altered"),
        ("parts", {}, "the file was altered"),
        ("parts", {"values": {}}, "expected a surrogate's configuration, but KeyError"),
        ("vocabulary", ["input"], "vocabulary: expected that of nasbench201"),
        (
            "parts",
            {name: one | {"encodings": ["other"]} for name, one in config["parts"].items()},
            r"encodings: expected \[.*\], but got \['other'\]",
        ),
    ):
        changed = {**config, key: value}
        if "altered" not in reason:
            # By someone who knows how: still it is of another program.
            changed["sha256"] = _digest({name: one for name, one in changed.items() if name != "sha256"})
        (tmp_path / "surrogate.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=reason):
            Surrogate.load(tmp_path)
    (tmp_path / "surrogate.json").write_text("[]")
    with pytest.raises(ValueError, match="expected a surrogate's configuration"):
        Surrogate.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"neither a folder with a surrogate\.json nor a surrogate"):
        Surrogate.load(tmp_path / "none")


def test_noise_belongs_to_architecture_and_seed(surrogate: Surrogate) -> None:
    architecture = ARCHITECTURES[0]
    exact = SurrogateEvaluator(surrogate).evaluate(architecture)
    noisy = SurrogateEvaluator(surrogate, noisy=True)
    values = [noisy.evaluate(architecture, seed=seed).value for seed in range(200)]
    assert values[3] == noisy.evaluate(architecture, seed=3).value
    assert np.mean(values) == pytest.approx(exact.value, abs=0.003)
    assert np.std(values) == pytest.approx(0.01, rel=0.2)
    assert noisy.evaluate(ARCHITECTURES[1], seed=3).value != values[3]
    assert exact.metrics["predicted"] == exact.value
    assert exact.metrics["familiar"] in (0, 1)
    predicted = surrogate.predict(ARCHITECTURES)
    # The members agree on what they were fitted to, as far as nothing else was measured.
    assert 0.97 < surrogate.familiar(ARCHIVE.cells, predicted).mean() < 1
    assert exact.cost is not None
    assert exact.cost > 0


def test_only_whole_trainings_of_the_space_are_answered(surrogate: Surrogate) -> None:
    evaluator = SurrogateEvaluator(surrogate)
    with pytest.raises(ValueError, match="A surrogate knows whole trainings"):
        evaluator.evaluate(ARCHITECTURES[0], budget=3)
    cell = Cell(("input", "conv9x9", "output"), frozenset({(0, 1), (1, 2)}))
    with pytest.raises(EvaluationFailed, match="not an architecture of nasbench201"):
        evaluator.evaluate(Architecture("nasbench201", (cell,)))
    with pytest.raises(ValueError, match="Expected kind to be one of xgb, lgb, gin, gnn, latent-gp, but got 'svm'"):
        fit_surrogate(ARCHIVE, kind="svm")
    with pytest.raises(ValueError, match="Expected members to be at least 2, but got 1"):
        fit_surrogate(ARCHIVE, members=1)


def test_it_says_once_that_it_guesses(surrogate: Surrogate) -> None:
    strict = SurrogateEvaluator(replace(surrogate, spread=-1.0))
    with pytest.warns(UserWarning, match="surrogate guesses: an architecture is unlike those"):
        assert strict.evaluate(ARCHITECTURES[0]).metrics["familiar"] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strict.evaluate(ARCHITECTURES[1])
        SurrogateEvaluator(replace(surrogate, spread=9.0)).evaluate(ARCHITECTURES[0])


def test_it_is_measured_on_what_it_has_not_seen() -> None:
    found, told = held_out(ARCHIVE, settings={"rounds": 60}, members=2)
    assert set(found) == {"all", "random", "evolution", "tpe"}
    assert found["all"]["spearman"] > 0.5
    assert 0 < found["all"]["r2"] < 1
    assert 0 < told.noise < VALUES.std()
    assert 0 < told.spread < VALUES.std()
    apart = leave_one_sampler_out(ARCHIVE, settings={"rounds": 60}, members=2)
    assert set(apart) == {"random", "evolution", "tpe"}
    assert all(one["trainings"] >= 20 for one in apart.values())
    assert leave_one_sampler_out(ARCHIVE.take(np.arange(60))) == {}
    # Of two others nothing could be held out.
    few = replace(ARCHIVE, samplers=("one",) * (len(ARCHIVE) - 2) + ("other",) * 2)
    assert leave_one_sampler_out(few) == {}
    with pytest.raises(ValueError, match="Expected trainings of which a tenth are three or more, but got 12"):
        held_out(ARCHIVE.take(np.arange(12)))


def test_noise_covers_what_it_was_not_measured_on() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal(400)
    assert 0.92 < _covered(errors, np.zeros(400), 0).mean() < 0.97
    # One half that errs ten times as far is not covered by the noise of the other, which is covered all the more.
    far = np.where(np.random.default_rng(3).permutation(400) % 2 == 0, errors * 10, errors)
    assert _covered(far, np.zeros(400), 3).mean() < 0.65


def test_a_perfect_surrogate_has_perfect_measures() -> None:
    class Oracle:
        def predict(self, cells: object) -> np.ndarray:
            return np.stack([VALUES, VALUES])

    found = assess(Surrogate(SPACE, Oracle(), None, 0.01, 0.0, (), {}), ARCHIVE)  # type: ignore[arg-type]
    expected = {"r2": 1, "kendall": 1, "spearman": 1, "rmse": 0, "kendall_top": 1, "coverage": 1, "trainings": 160}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_settings_are_chosen_by_what_they_predict() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told: list[tuple[int, float]] = []
    settings = tune(ARCHIVE.take(np.arange(60)), trials=3, progress=lambda number, best: told.append((number, best)))
    assert [number for number, _ in told] == [1, 2, 3]
    assert told[0][1] <= told[2][1]
    assert not settings or "max_depth" in settings
