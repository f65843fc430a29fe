from __future__ import annotations

import base64
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphnas.cell import Architecture
from graphnas.report.map_page import MapGroup, cell_texts, map_page, principal_plane
from graphnas.spaces import Space

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def page_of(space: Space, n: int = 40) -> tuple[str, list[Architecture]]:
    cells = space.sample(n, np.random.default_rng(0))
    values = np.linspace(0.1, 0.9, n)
    values[3] = np.nan
    groups = [
        MapGroup("one </script>", space.to_arrays(cells[:10]), path=[0, 4], front=[4], names=["a"] * 10),
        MapGroup("two", space.to_arrays(cells[10:]), {"accuracy": values[10:]}),
    ]
    points = np.random.default_rng(1).standard_normal((n, 2))
    return map_page(
        space.vocabulary, space.cell_names, groups, points, title="A & B <!--<script> __DATA__", axes=("x", "y")
    ), cells


def content(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(text)


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts", "enas"])
def test_cells_can_be_read_from_their_texts(name: str) -> None:
    space = Space.load(name)
    architectures = space.sample(30, np.random.default_rng(0))
    for text, architecture in zip(
        cell_texts(space.to_arrays(architectures), len(space.cell_names)), architectures, strict=True
    ):
        for part, cell in zip(text.split("~"), architecture.cells, strict=True):
            codes, digits = part.split(".")
            assert tuple(space.vocabulary[DIGITS.index(code)] for code in codes) == cell.ops
            bits = "".join(f"{int(digit, 16):04b}" for digit in digits)
            pairs = [(i, j) for i in range(cell.size) for j in range(i + 1, cell.size)]
            assert {pair for pair, bit in zip(pairs, bits, strict=False) if bit == "1"} == cell.edges


def test_the_page_holds_everything_and_nothing_escapes() -> None:
    page, _ = page_of(Space.load("nasbench201"))
    data = content(page)
    assert data["count"] == 40
    assert data["groups"][0]["name"] == "one </script>"
    assert page.count("</script>") == 2
    assert "<title>A &amp; B &lt;!--&lt;script&gt; __DATA__</title>" in page
    assert not re.findall(r"(?:src|href)=|https?://", page.replace("http://www.w3.org", ""))
    x = np.frombuffer(base64.b64decode(data["x"]), dtype=np.uint16)
    y = np.frombuffer(base64.b64decode(data["y"]), dtype=np.uint16)
    assert len(x) == len(y) == 40
    assert max(np.ptp(x.astype(int)), np.ptp(y.astype(int))) == 65_535
    (metric,) = data["metrics"]
    values = np.frombuffer(base64.b64decode(metric["values"]), dtype=np.float32)
    assert np.isnan(values[:10]).all()
    assert values[-1] == pytest.approx(metric["top"]) == pytest.approx(0.9)
    assert data["groups"][0]["path"] == [0, 4]
    assert data["groups"][1]["count"] == 30


def test_principal_components_keep_distances_of_a_plane() -> None:
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((50, 2)) * [3.0, 1.0]
    points = flat @ np.linalg.qr(rng.standard_normal((5, 5)))[0][:2]
    plane, axes = principal_plane(points)
    apart = np.linalg.norm(plane[:, None] - plane, axis=-1)
    np.testing.assert_allclose(apart, np.linalg.norm(flat[:, None] - flat, axis=-1), atol=1e-9)
    shares = [int(share) for axis in axes for share in re.findall(r"(\d+) %", axis)]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert plane[:, 0].var() > plane[:, 1].var()


def test_points_have_to_fit() -> None:
    space = Space.load("nasbench201")
    group = MapGroup("one", space.sample_arrays(3, np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"points to be 3 x 2, but got \(2, 2\)"):
        map_page(space.vocabulary, space.cell_names, [group], np.zeros((2, 2)), title="", axes=("", ""))


def pointed_at_one(page: Any, plot: Any, shown: Any) -> bool:
    """Move the mouse over a plot until what it points at changes."""
    box = plot.bounding_box()
    before = shown.inner_text() if shown.count() else ""
    for row, column in itertools.product(range(1, 20), repeat=2):
        page.mouse.move(box["x"] + box["width"] * column / 20, box["y"] + box["height"] * row / 20)
        if shown.count() and shown.inner_text() != before:
            return True
    return False


def test_ten_thousand_architectures_take_few_megabytes() -> None:
    space, rng = Space.load("darts"), np.random.default_rng(0)
    cells = space.sample_arrays(10_000, rng)
    metrics = {name: rng.random(10_000) for name in ("accuracy", "parameters", "latency")}
    names = [f"trial {number}, acquisition" for number in range(10_000)]
    group = MapGroup("search", cells, metrics, names)
    page = map_page(
        space.vocabulary, space.cell_names, [group], rng.standard_normal((10_000, 2)), title="x", axes=("", "")
    )
    assert len(page.encode()) < 10 * 2**20


def test_a_browser_shows_it(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()]
    if not found:
        pytest.skip("no chromium")
    page_text, _ = page_of(Space.load("darts"))
    path = tmp_path / "map.html"
    path.write_text(page_text, encoding="utf-8")
    errors: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(found[0]), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if not request.url.startswith("file:") else None)
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]")
        assert page.locator("#count").inner_text() == "40 of 40"
        # Somewhere there is an architecture to point at, which is then drawn.
        assert pointed_at_one(page, page.locator("#plot"), page.locator("#side dl"))
        assert page.locator("#side svg").count() == 2
        # A row of the table shows its architecture, both cells.
        page.locator("#table tbody tr").first.click()
        assert page.locator("#side svg").count() == 2
        assert "0.9" in page.locator("#side dl").inner_text()
        # Sorting the other way puts what is worst, or has no value, first.
        page.locator("th").nth(2).click()
        assert "0.9" not in page.locator("#table tbody tr").first.inner_text()
        page.locator("#atleast").fill("500")
        page.wait_for_timeout(100)
        assert page.locator("#count").inner_text() == "15 of 40"
        page.locator("#atleast").fill("0")
        page.locator("#groups input").first.uncheck()
        page.wait_for_timeout(100)
        assert page.locator("#count").inner_text() == "30 of 40"
        page.locator("#filter").fill("entry that is not there")
        assert page.locator("#shown").inner_text() == "0 rows"
        box = page.locator("#plot").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        before = page.locator("#points").screenshot()
        page.mouse.wheel(0, -1500)
        page.wait_for_timeout(200)
        assert page.locator("#points").screenshot() != before
        browser.close()
    assert errors == []
