from __future__ import annotations

import io

import pytest
from rich.console import Console

from graphnas.cli.fit_display import FitDisplay


def row(step: int, **further: float) -> dict[str, float]:
    return {
        "step": float(step),
        "done": step / 400,
        "loss": 3.25,
        "reconstruction_nats": 1.5,
        "kl_nats": 20.0,
        "cells_per_second": 12_345.0,
        **further,
    }


def test_without_a_terminal_there_is_a_line_now_and_then_and_at_the_end() -> None:
    out = io.StringIO()
    with FitDisplay(Console(file=out, width=200), every=1000.0) as display:
        for step in (100, 200, 300, 400):
            display(row(step, **({"reconstruction": 0.987} if step == 200 else {})))
    assert out.getvalue().splitlines() == [
        " 25%  step 100  loss 3.250  reconstruction 1.500 nats  KL 20.00 nats  12,345 cells/s",
        "100%  step 400  loss 3.250  reconstruction 1.500 nats  KL 20.00 nats  held-out 98.70%  12,345 cells/s",
    ]


def test_every_row_is_a_line_if_none_is_to_wait() -> None:
    out = io.StringIO()
    with FitDisplay(Console(file=out, width=200), every=0.0) as display:
        for step in (100, 200):
            display(row(step))
    assert out.getvalue().count("\n") == 2


def test_on_a_terminal_one_line_changes_and_the_last_figures_stay() -> None:
    out = io.StringIO()
    console = Console(file=out, width=160, force_terminal=True, color_system=None)
    with FitDisplay(console) as display:
        display(row(100))
        assert display.seconds_left(row(100)) is None
        display(row(200))
        left = display.seconds_left(row(200))
        assert left is not None
        assert left >= 0
    assert "left" in out.getvalue()
    assert out.getvalue().rstrip().endswith("12,345 cells/s")


def test_nothing_is_said_of_a_fit_without_rows() -> None:
    out = io.StringIO()
    with FitDisplay(Console(file=out)):
        pass
    assert out.getvalue() == ""


def test_an_error_passes() -> None:
    with pytest.raises(KeyError), FitDisplay(Console(file=io.StringIO())):
        raise KeyError
