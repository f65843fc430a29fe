from __future__ import annotations

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial
from scipy.stats import spearmanr

from graphnas.analysis.budget_correlation import budget_correlations, budget_values, final_values
from graphnas.evaluate import data_folder, open_table

NAN = float("nan")
TABLE = data_folder() / "nasbench101.npz"


def trial(
    state: TrialState, value: float | None, budgets: dict[str, float], curve: dict[int, float]
) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=state, value=value, user_attrs={"graphnas:budgets": budgets} if budgets else {}, intermediate_values=curve
    )


def test_correlations_of_known_ranks_are_exact() -> None:
    small = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    large = np.array([0.2, 0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 0.9, 0.8])
    (found,) = budget_correlations({3: small, 9: large}, top=0.5)
    assert (found.small, found.large, found.all.n, found.top.n) == (3, 9, 10, 5)
    # Spearman by hand: 1 - 6 (1 + 1 + 4 + 4) / (10 * 99).
    assert found.all.rho == pytest.approx(1 - 60 / 990)
    # The best half at the larger budget are the last five: 1 - 6 (4 + 4) / (5 * 24).
    assert found.top.rho == pytest.approx(1 - 48 / 120)
    assert found.all.low < found.all.rho < found.all.high


def test_a_failed_trial_is_the_worst_and_one_that_was_ended_does_not_count() -> None:
    few = np.array([0.1, 0.2, 0.3, 0.4, 0.5, -np.inf])
    many = np.array([0.2, 0.1, 0.3, 0.4, NAN, -np.inf])
    (found,) = budget_correlations({1: few, 9: many})
    assert found.all.n == 5
    assert found.all.rho == pytest.approx(1 - 6 * 2 / (5 * 24))


def test_too_few_or_equal_candidates_have_no_correlation() -> None:
    few, constant, varied = np.array([0.1, 0.2, 0.3]), np.full(6, 0.5), np.arange(6.0)
    assert np.isnan(budget_correlations({1: few, 2: few})[0].all.rho)
    assert np.isnan(budget_correlations({1: constant, 2: varied})[0].all.rho)
    with pytest.raises(ValueError, match="Expected values after two or more numbers of epochs, but got"):
        budget_correlations({1: few})
    with pytest.raises(ValueError, match="Expected top to be above 0 and at most 1, but got 0"):
        budget_correlations({1: few, 2: few}, top=0)


@given(st.integers(0, 2**32 - 1), st.integers(5, 40))
def test_spearman_is_scipys_with_ties_too(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, n).astype(float), rng.integers(0, 6, n).astype(float)
    found = budget_correlations({1: x, 2: y}, resamples=5)[0].all.rho
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert found == pytest.approx(spearmanr(x, y).statistic)


@pytest.mark.skipif(not TABLE.is_file(), reason="nasbench101.npz is missing in GRAPHNAS_DATA")
def test_few_epochs_of_nasbench101_rank_all_cells_better_than_the_best() -> None:
    table = open_table("nasbench101")
    columns = {epochs: table.column(f"val_acc_1run_e{epochs}").astype(float) for epochs in (4, 12, 36)}
    columns[108] = table.column("val_acc_max3_e108").astype(float)
    known = ~np.isnan(np.column_stack(list(columns.values()))).any(1)
    found = budget_correlations({epochs: column[known] for epochs, column in columns.items()}, resamples=20)
    pairs = {(one.small, one.large): one for one in found}
    assert pairs[4, 108].all.n == 30_001
    assert pairs[4, 108].all.rho == pytest.approx(0.451, abs=0.002)
    assert pairs[4, 108].top.rho == pytest.approx(0.065, abs=0.01)
    assert pairs[12, 108].all.rho == pytest.approx(0.618, abs=0.002)
    assert pairs[36, 108].all.rho == pytest.approx(0.879, abs=0.002)
    assert pairs[36, 108].top.rho == pytest.approx(0.372, abs=0.01)


def test_values_of_a_search_with_budgets() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            trial(TrialState.COMPLETE, 0.9, {"1": 0.3, "9": 0.9}, {}),
            trial(TrialState.PRUNED, None, {"1": 0.2}, {}),
            trial(TrialState.FAIL, None, {"1": 0.1}, {}),
        ]
    )
    values = budget_values(study)
    np.testing.assert_equal(values[1], [0.3, 0.2, 0.1])
    np.testing.assert_equal(values[9], [0.9, NAN, -np.inf])
    np.testing.assert_equal(final_values(study), [0.9, NAN, -np.inf])
    with pytest.raises(ValueError, match=r"Expected budgets out of \[1, 9\], but got \[3\]"):
        budget_values(study, [3])


def test_values_of_curves_are_those_after_so_many_epochs() -> None:
    study = optuna.create_study(direction="minimize")
    curve = {epoch: 1.0 / epoch for epoch in range(1, 10)}
    study.add_trials([trial(TrialState.COMPLETE, curve[9], {}, curve), trial(TrialState.FAIL, None, {}, {1: 1.0})])
    values = budget_values(study)
    assert list(values) == [1, 3, 9]
    # Smaller is better, so values are negated.
    np.testing.assert_allclose(values[3], [-1 / 3, -np.inf])
    np.testing.assert_allclose(budget_values(study, [2])[2], [-1 / 2, -np.inf])
    with pytest.raises(ValueError, match="Expected a study with one objective, but got 2"):
        budget_values(optuna.create_study(directions=["maximize", "minimize"]))
