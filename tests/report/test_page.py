import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState, create_trial

from graphnas.cell import Architecture, Cell
from graphnas.report import compact, draw_figures, write_report
from graphnas.spaces import Space
from tests.report.test_map_page import pointed_at_one

VOID = {"meta", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Collects what a page refers to and checks that its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src", "xlink:href"):
                self.references.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class Sizes:
    """Stands for an encoder: the latent point of a cell is its sizes."""

    def encode(self, architectures: list[Architecture]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [(len(a.cells[0].ops), len(a.cells[0].edges), a.cells[0].ops.count("conv3x3")) for a in architectures]
        z = torch.tensor(rows, dtype=torch.float32)
        return z, torch.zeros_like(z)


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.load("nasbench101")


@pytest.fixture(scope="module")
def study(space: Space) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for number, architecture in enumerate(space.sample(8, np.random.default_rng(1))):
        attributes = {
            "graphnas:architecture": architecture.to_json(),
            "graphnas:hash": space.hash(architecture),
            "graphnas:source": "random" if number < 4 else "acquisition",
            "graphnas:metrics": {"parameters": 1000.0 * number},
            "graphnas:seconds": 2.5,
        }
        failed = number == 5
        if failed:
            attributes["graphnas:reason"] = "diverged: loss <nan> & more"
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else 0.9 + number / 100,
                user_attrs=attributes,
            )
        )
    return study


def test_the_report_is_one_file_that_needs_nothing_else(tmp_path: Path, study: optuna.Study, space: Space) -> None:
    (tmp_path / "config.toml").write_text('name = "<b>"\n')
    path = write_report(tmp_path, study, space, encoder=Sizes(), test={"test_accuracy": 0.9812})  # type: ignore[arg-type]
    html = path.read_text()
    page = Page()
    page.feed(html)
    assert page.open == []
    inner = [reference[1:] for reference in page.references if not reference.startswith("data:image/png")]
    assert all(reference.startswith(("#", "data:image/png")) for reference in page.references)
    assert len(set(page.ids)) == len(page.ids)
    assert set(inner) <= set(page.ids)
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"'\s<>)]+", html)) <= namespaces
    assert "@import" not in html
    text = " ".join(page.text)
    for expected in ("0.9812", "0.9700", "diverged: loss <nan> & more", 'name = "<b>"', "All trials"):
        assert expected in text


def test_the_table_sorts_and_filters_in_a_browser(tmp_path: Path, study: optuna.Study, space: Space) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()]
    if not found:
        pytest.skip("no chromium")
    path = write_report(tmp_path, study, space, encoder=Sizes())  # type: ignore[arg-type]
    errors: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(found[0]), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        rows = page.locator("table.trials tbody tr")
        texts = rows.all_inner_texts()
        page.locator("table.trials th").nth(2).click()
        values = [float(text.split("\t")[2]) for text in rows.all_inner_texts() if text.split("\t")[2][0].isdigit()]
        assert values == sorted(values, reverse=True)
        assert len(values) > 1
        page.locator("table.trials th").nth(0).click()
        page.locator("table.trials th").nth(0).click()
        assert rows.all_inner_texts() == texts
        page.locator("input.filter").fill(texts[1].split("\t")[1])
        shown = [text for text in rows.all_inner_texts() if text]
        assert 0 < len(shown) <= len(texts)
        page.locator("input.filter").fill("nothing is called so")
        assert page.locator("table.trials tbody tr:visible").count() == 0
        # The map is a page in the page: no table of its own, and cells are drawn when they are pointed at.
        chart = page.frame_locator("iframe.map")
        page.locator("iframe.map").scroll_into_view_if_needed()
        chart.locator("body[data-ready=yes]").wait_for()
        assert chart.locator("#count").inner_text() == "808 of 808"
        assert not chart.locator("#table").is_visible()
        assert pointed_at_one(page, chart.locator("#plot"), chart.locator("#side dl"))
        assert chart.locator("#side svg").count() == 1
        browser.close()
    assert errors == []


def test_the_best_cell_is_kept_as_json_and_as_a_drawing(tmp_path: Path, study: optuna.Study, space: Space) -> None:
    write_report(tmp_path, study, space, test={"test_accuracy": 0.5})
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["trial"] == 7
    assert best["value"] == pytest.approx(0.97)
    assert best["test"] == {"test_accuracy": 0.5}
    assert space.hash(Architecture.from_dict(best["architecture"])) == best["hash"]
    ET.fromstring((tmp_path / "best.svg").read_text())
    assert not (tmp_path / "figures" / "latent.svg").exists()


def test_figures_are_equal_for_equal_studies(study: optuna.Study, space: Space) -> None:
    first, second = (draw_figures(study, space, encoder=Sizes()) for _ in range(2))  # type: ignore[arg-type]
    assert set(first) == {"incumbent", "latent"}
    assert first == second
    for svg in first.values():
        ET.fromstring(svg)
    assert "acquisition" in first["incumbent"]


def test_a_search_without_a_result_has_a_report(tmp_path: Path, space: Space) -> None:
    path = write_report(tmp_path, optuna.create_study(), space)
    assert "none yet" in path.read_text()
    assert not (tmp_path / "best.json").exists()


def test_a_cell_as_one_line() -> None:
    cell = Cell(("input", "conv3x3", "maxpool3x3", "output"), frozenset({(0, 1), (0, 2), (1, 2), (2, 3)}))
    assert compact(Architecture("x", (cell,))) == "1 conv3x3(0) · 2 maxpool3x3(0,1) · out(2)"
    assert compact(Architecture("x", (cell,)), width=14) == "1 conv3x3(0) …"
