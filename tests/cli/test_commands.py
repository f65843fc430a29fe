import json
import os
import pickle
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from strategies import OWN_ENCODER
from typer.testing import CliRunner, Result

from graphnas.cell import Architecture
from graphnas.cli.main import app
from graphnas.report.page import parameter_count
from graphnas.spaces import Space

COMMANDS = (
    *(["spaces", name] for name in ("list", "show", "check", "sample", "draw")),
    *([name] for name in ("train", "search", "embed", "decode", "evaluate", "export", "doctor")),
    *(["data", name] for name in ("list", "verify", "import")),
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert "--json" in result.stdout


def test_the_group_data_explains_itself_with_an_example() -> None:
    assert "Example" in run("data", "--help").stdout


def test_spaces_are_listed_and_shown_for_people_and_programs() -> None:
    assert "NAS-Bench-101" in run("spaces", "list").stdout
    assert "nasbench101" in [one["name"] for one in json.loads(run("spaces", "list", "--json").stdout)]
    shown = json.loads(run("spaces", "show", "nasbench101", "--json").stdout)
    assert shown["size"] == 423_624
    assert shown["topology"] == {"kind": "dag", "max_vertices": 7, "max_edges": 9, "prune": True}
    small = json.loads(run("spaces", "show", "darts", "--limit", "nodes=1", "--limit", "exclude=[]", "--json").stdout)
    assert small["size"] == 64**2


def test_samples_are_legal_and_depend_on_the_seed() -> None:
    first, again, other = (run("spaces", "sample", "nasbench101", "-n", 4, "--seed", seed).stdout for seed in (7, 7, 8))
    assert first == again != other
    for line in first.splitlines():
        Space.load("nasbench101").validate(Architecture.from_json(line))


def test_a_drawing_is_svg(tmp_path: Path, cells: Path) -> None:
    assert run("spaces", "draw", "nasbench101", cells, "--out", tmp_path / "cell.svg").exit_code == 0
    assert ET.fromstring((tmp_path / "cell.svg").read_text()).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_wrong_space_file_is_bad_data_and_named(small_space: Path, tmp_path: Path) -> None:
    assert run("spaces", "check", small_space).exit_code == 0
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(small_space.read_text().replace("max_vertices = 5", 'max_vertices = "five"'))
    result = run("spaces", "check", wrong)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "wrong.toml: topology.max_vertices" in result.stderr
    assert run("spaces", "check", tmp_path / "missing.toml").exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",),
        ("search", "nosuchspace"),
        ("search", "nasbench101", "--task", "nosuchtask"),
        ("search", "nasbench101", "--task", "digits", "--objective", "table"),
        ("search", "nasbench101", "--objective", "chair"),
        ("search", "nasbench101", "--sampler", "nosuchsampler"),
        ("search", "nasbench101", "--trials", "0"),
        ("search", "nasbench101", "--resume", "somewhere"),
        ("embed", "cells.json", "--encoder", "nasbench101", "--out", "latents.xlsx"),
        ("evaluate", "cells.json", "--seed", "-1"),
        ("evaluate", "cells.json", "--seed", 2**31),
        ("decode", "latents.csv", "--encoder", "nasbench101", "--seed", 2**64),
        ("spaces", "sample", "nasbench101", "--seed", 2**70),
        ("export", "cells.json", "--name", "class"),
        ("export", "cells.json", "--name", "torch"),
        ("export", "cells.json", "--name", "a-b"),
        ("export", "cells.json", "--out", __file__),
        ("nosuchcommand",),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[object, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"space": "nasbench101"}', "the keys 'space' and 'cells'"),
        (
            '{"space": "nasbench101", "cells": [{"ops": ["input", "output"], "edges": [[1, 0]]}]}',
            "the value: cells[0]: Expected edges",
        ),
        (
            '[{"space": "nasbench101", "cells": [{"ops": ["input", "conv9x9", "output"], "edges": [[0, 1], [1, 2]]}]}]',
            "entry 0: cell: ",
        ),
    ],
)
def test_files_of_wrong_architectures_are_refused_with_the_place(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "cells.json"
    path.write_text(text)
    result = run("evaluate", path, "--task", "digits")
    assert result.exit_code == 3
    assert "cells.json: " in result.stderr
    assert reason in result.stderr


def test_missing_files_and_folders_are_bad_data(tmp_path: Path) -> None:
    for arguments in (
        ("evaluate", tmp_path / "none.json"),
        ("evaluate", tmp_path),
        ("search", "--resume", tmp_path),
        ("search", "nasbench101", "--objective", f"table:{tmp_path}/none.npz", "--sampler", "random"),
    ):
        result = run(*arguments)
        assert result.exit_code == 3, arguments
        assert result.stderr.count("\n") == 1
        assert str(tmp_path) in result.stderr


def test_search_leaves_a_folder_and_goes_on_in_it(small_space: Path, small_table: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--out", out)
    result = run("search", small_space, *settings, "--trials", 6, "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["trials"] == 6
    assert [one["rank"] for one in summary["best"]] == [1, 2, 3, 4, 5]
    values = [one["value"] for one in summary["best"]]
    assert values == sorted(values, reverse=True)
    for name in ("config.toml", "environment.json", "study.db", "best.json", "best.svg", "report.html", "space.toml"):
        assert (out / name).stat().st_size > 0
    assert run("search", small_space, *settings).exit_code == 3
    again = run("search", "--resume", out, "--trials", 8)
    assert again.exit_code == 0, again.stderr
    assert "Best 5 of 8 trials" in again.stdout
    assert str(out) in again.stdout


@pytest.mark.parametrize(
    "space",
    ["digits101", *(pytest.param(name, marks=pytest.mark.slow) for name in Space.names() if name != "digits101")],
)
def test_every_space_is_searched_with_its_encoder_on_real_images(space: str, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    arguments = ("search", space, "--task", "digits", "--trials", 12, "--epochs", 1, "--workers", 0, "--out", folder)
    record = json.loads(run(*arguments, "--json").stdout)
    assert record["trials"] == 12
    assert record["sources"]["random"] == 10
    # Which of the three sources has the best candidate depends on what trainings give; none is a fallback.
    assert set(record["sources"]) - {"random"} <= {"acquisition", "sample", "edit"}
    assert sum(record["sources"].values()) == 12
    assert 0 <= record["test"]["test_accuracy"] <= 1
    for name in ("best.json", "best.svg", "best_network.py", "best_network.safetensors", "report.html"):
        assert (folder / name).is_file()
    if space in OWN_ENCODER:
        again = run("embed", folder / "best.json", "--encoder", space, "--out", tmp_path / "z.csv")
        assert again.exit_code == 0


def test_search_evaluates_given_architectures_first(small_space: Path, small_table: Path, tmp_path: Path) -> None:
    (wanted,) = Space.load(small_space).sample(1, np.random.default_rng(5))
    (tmp_path / "first.json").write_text(wanted.to_json())
    out = tmp_path / "found"
    settings = ("--objective", f"table:{small_table}", "--sampler", "random", "--workers", 0, "--trials", 1)
    result = run("search", small_space, *settings, "--out", out, "--init", tmp_path / "first.json", "--json")
    assert result.exit_code == 0, result.stderr
    (best,) = json.loads(result.stdout)["best"]
    assert best["source"] == "enqueued"
    assert Space.load(small_space).hash(Architecture.from_dict(best["architecture"])) == Space.load(small_space).hash(
        wanted
    )


def test_evaluating_and_exporting_a_trained_cell(cells: Path, tmp_path: Path) -> None:
    result = run("evaluate", cells, "--task", "digits", "--epochs", 1, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    records = json.loads(result.stdout)
    assert len(records) == 3
    assert all(0 <= record["value"] <= 1 and record["budget"] == 1 for record in records)
    result = run("export", cells, "--epochs", 1, "--out", tmp_path, "--name", "mine", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    script = "import sys, torch, mine; print(mine.load()(torch.zeros(2, 1, 8, 8)).shape, 'graphnas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([2, 10]) False\n"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from graphnas.encoders import CellAutoencoder

    path = tmp_path_factory.mktemp("encoder")
    CellAutoencoder.for_space(Space.load("nasbench101"), latent_dim=2).save_pretrained(path)
    return path


def only_line(result: Result) -> str:
    """What a command that met bad data says."""
    assert result.exit_code == 3, result.output
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "expected columns z0, z1, ..., but got none"),
        (b"z0,z1\n", "expected at least one row, but it holds none"),
        (b"z0,z2\n1,2\n", "expected columns z0, z1, ..., but got z0, z2"),
        (b"z0,z1,z0\n1,2,3\n", "expected columns z0, z1, ..., but got z0, z1, z0"),
        (b"z0,z1\n1,2\n1\n", "row 1: expected 2 fields, but got 1"),
        (b"z0,z1\n1,2,3\n", "row 0: expected 2 fields, but got 3"),
        (b"z0,z1\n1,2\n1,two\n", "row 1, column z1: expected a number, but got 'two'"),
        (b"z1,z0\n1,\n", "row 0, column z0: expected a number, but got ''"),
        (b"z0,z1\n1,2\n1,nan\n", "row 1, column z1: expected a number that stays finite in float32"),
        (b"z0,z1\n-1e300,1\n", "row 0, column z0: expected a number that stays finite in float32"),
        (b"z0,z1\n1e15,1e16\n", "row 0, column z1: expected a number that stays finite in float32"),
        (b"z0,z1\n1," + b"2" * 140_000, "line 2: field larger than field limit"),
        ("z0,z1,é\n1,2,3\n".encode("latin-1"), "expected UTF-8, but 'utf-8' codec can't decode byte 0xe9"),
        (b"z0,z1,z2\n1,2,3\n", "expected 2 latent dimensions, but got 3"),
    ],
)
def test_wrong_csv_files_of_latent_points_are_refused_with_the_place(
    encoder: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "z.csv").write_bytes(content)
    result = run("decode", tmp_path / "z.csv", "--encoder", encoder, "--device", "cpu")
    assert f"{tmp_path}/z.csv: {reason}" in only_line(result)


def test_a_csv_file_may_begin_with_a_mark_and_hold_large_points(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "z.csv").write_text("\ufeffz1,z0\n2,1\n\n", encoding="utf-8")
    (tmp_path / "plain.csv").write_text("z0,z1\n1,2\n", encoding="utf-8")
    marked, plain = (run("decode", tmp_path / name, "--encoder", encoder).stdout for name in ("z.csv", "plain.csv"))
    assert marked == plain != ""
    (tmp_path / "far.csv").write_text("z0,z1\n1e15,-1e15\n", encoding="utf-8")
    for options in ((), ("--sample",)):
        assert run("decode", tmp_path / "far.csv", "--encoder", encoder, *options).exit_code == 0


def test_wrong_npz_files_of_latent_points_are_refused(encoder: Path, tmp_path: Path) -> None:
    path, z = tmp_path / "z.npz", np.zeros((3, 2))
    np.savez(path, mu=z)
    whole = path.read_bytes()
    damaged = whole.index(b"NUMPY") + 130
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        archive.writestr("mu", b"raw")
    np.save(tmp_path / "z.npy", z)
    for content, reason in (
        (whole[:-50], "expected an npz file of columns, but it is none, or not whole"),
        (whole[:damaged] + b"x" + whole[damaged + 1 :], "column mu cannot be read: Bad CRC-32"),
        ((tmp_path / "z.npy").read_bytes(), "expected an npz file of columns"),
        ((tmp_path / "raw.npz").read_bytes(), "column mu cannot be read: it is no array"),
        ({"x": z}, "expected an array 'mu', but got x"),
        ({"mu": z.astype(str)}, "expected mu to be n x d numbers, but got <U"),
        ({"mu": z + 1j}, "expected mu to be n x d numbers, but got complex128 (3, 2)"),
        ({"mu": z[0]}, "expected mu to be n x d numbers, but got float64 (2,)"),
        ({"mu": z[:0]}, "expected mu to be n x d numbers, but got float64 (0, 2)"),
        ({"mu": z.astype(object)}, "column mu cannot be read: Object arrays"),
        ({"mu": np.array([[0, 1], [np.inf, 0]])}, "row 1, column z0: expected a number that stays finite in float32"),
    ):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, **content)
        assert f"{path}: {reason}" in only_line(run("decode", path, "--encoder", encoder))


def test_wrong_parquet_files_of_latent_points_are_refused(encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "z.parquet"
    assert f"No such file or directory: '{path}'" in only_line(run("decode", path, "--encoder", encoder))
    pq.write_table(pa.table({"z0": [1.0, 2.0], "z1": [1.0, 2.0]}), path)
    whole = path.read_bytes()
    for content in (whole[:-20], b"", whole[:4] + b"\xff" * 40 + whole[44:]):
        path.write_bytes(content)
        assert f"{path}: expected a Parquet file, but" in only_line(run("decode", path, "--encoder", encoder))
    for columns, reason in (
        ({"x": [1]}, "expected columns z0, z1, ..., but got none"),
        ({"z0": ["1", "one"], "z1": [1, 2]}, "row 1, column z0: expected a number, but got 'one'"),
        ({"z0": [1, 2], "z1": [1.5, None]}, "row 1, column z1: expected a number, but got None"),
        ({"z0": [[1], [2]], "z1": [1, 2]}, "row 0, column z0: expected a number, but got [1]"),
    ):
        pq.write_table(pa.table(columns), path)
        assert f"{path}: {reason}" in only_line(run("decode", path, "--encoder", encoder))


def test_the_wrong_one_of_several_files_is_named(encoder: Path, cells: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text(f"{cells.read_text().splitlines()[0]}\n[7]\n")
    arguments = ("--encoder", encoder, "--out", tmp_path / "z.csv")
    said = only_line(run("embed", cells, tmp_path / "wrong.json", cells, *arguments))
    assert f"{tmp_path}/wrong.json: line 2: " in said
    assert not (tmp_path / "z.csv").exists()
    assert "No such file or directory" in only_line(run("embed", cells, tmp_path / "none.json", *arguments))


def test_results_that_cannot_be_written_are_failures_and_named(encoder: Path, cells: Path, tmp_path: Path) -> None:
    (tmp_path / "z.csv").write_text("z0,z1\n1,2\n")
    (tmp_path / "file").touch()
    commands = [
        ("decode", tmp_path / "z.csv", "--encoder", encoder, "--out", tmp_path / "none" / "cells.json"),
        ("decode", tmp_path / "z.csv", "--encoder", encoder, "--out", tmp_path / "file" / "cells.json"),
        ("decode", tmp_path / "z.csv", "--encoder", encoder, "--out", tmp_path),
        *(
            ("embed", cells, "--encoder", encoder, "--out", tmp_path / "none" / f"z{suffix}")
            for suffix in (".csv", ".npz", ".parquet")
        ),
        ("export", cells, "--out", tmp_path / "file" / "export"),
    ]
    if Path("/dev/full").exists():
        commands.append(("decode", tmp_path / "z.csv", "--encoder", encoder, "--out", Path("/dev/full")))
    for command in commands:
        result = run(*command)
        assert result.exit_code == 1, command
        assert result.stderr.startswith(f"graphnas: {command[-1]}")
        assert " cannot be written: " in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_table_that_cannot_be_read_is_bad_data(cells: Path, small_table: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    for content, reason in (
        (small_table.read_bytes()[:-100], "expected an npz file of columns"),
        (small_table.read_bytes()[:30], "expected an npz file of columns"),
        ({"hash": np.zeros(3, dtype=np.uint8)}, "expected hash to be n x 16 bytes, but got uint8 (3,)"),
        ({"hash": np.array([None])}, "column hash cannot be read: Object arrays"),
        (pickle.dumps({"hash": 1}), "expected a benchmark table, but"),
    ):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, **content)
        assert f"{path}: {reason}" in only_line(run("evaluate", cells, "--objective", f"table:{path}"))


@pytest.mark.parametrize("command", ["evaluate", "export"])
@pytest.mark.parametrize("name", ["other", "other.toml", "/etc/other.toml"])
def test_an_architecture_of_an_unknown_space_is_bad_data(tmp_path: Path, command: str, name: str) -> None:
    cell = {"ops": ["input", "output"], "edges": [[0, 1]]}
    (tmp_path / "one.json").write_text(json.dumps({"space": name, "cells": [cell]}))
    said = only_line(run(command, tmp_path / "one.json"))
    assert f"one.json: expected a space of darts, digits101, enas, nasbench101, nasbench201, but got '{name}'" in said
    assert "--space" in said


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, "[" * 950 + "]" * 950])
def test_deeply_nested_architectures_are_bad_data(tmp_path: Path, text: str) -> None:
    (tmp_path / "deep.json").write_text(text)
    assert f"{tmp_path}/deep.json: " in only_line(run("evaluate", tmp_path / "deep.json"))


def test_an_image_that_would_fill_the_memory_is_bad_data(cells: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (8, 8)).save(tmp_path / name / f"{number}.png")
    image = bytearray((tmp_path / "b" / "3.png").read_bytes())
    header = b"IHDR" + struct.pack(">II", 100_000, 100_000) + image[24:29]
    image[12:33] = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "b" / "3.png").write_bytes(image)
    assert f"{tmp_path}/b/3.png: cannot be read as an image: " in only_line(
        run("evaluate", cells, "--task", f"folder:{tmp_path}", "--size", 8)
    )


def test_parameters_of_a_table_in_millions_are_shown_as_a_count(tmp_path: Path) -> None:
    text = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    columns = {"index": [0], "arch_str": [text], "ops": [[0] * 6], "c10_val_200": [50.0], "params_m_c100": [0.073306]}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    (tmp_path / "cell.txt").write_text(text)
    result = run("evaluate", tmp_path / "cell.txt", "--objective", f"table:{tmp_path}/table.parquet")
    assert result.exit_code == 0, result.stderr
    assert "73,306" in result.stdout
    assert parameter_count({"parameters": 12.0, "params_m_c100": 1.0}) == 12
    assert parameter_count({"params": float("nan"), "params_m_c100": None}) is None


def test_what_reads_the_output_may_stop() -> None:
    command = [sys.executable, "-m", "graphnas", "spaces", "sample", "nasbench101", "-n", "2000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.readline()
        done.stdout.close()
        assert done.stderr.read() == ""


def test_embedding_and_decoding_return_the_cells(cells: Path, small_space: Path, tmp_path: Path) -> None:
    from graphnas.encoders import CellAutoencoder

    space = Space.load("nasbench101")
    CellAutoencoder.for_space(space, latent_dim=8).save_pretrained(tmp_path / "encoder")
    decoded = []
    for suffix in (".csv", ".parquet", ".npz"):
        latents = tmp_path / f"latents{suffix}"
        result = run("embed", cells, "--encoder", tmp_path / "encoder", "--out", latents, "--device", "cpu", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["dimensions"] == 8
        result = run("decode", latents, "--encoder", tmp_path / "encoder", "--device", "cpu")
        assert result.exit_code == 0, result.stderr
        decoded.append(result.stdout)
        for line in result.stdout.splitlines():
            space.validate(Architecture.from_json(line))
    assert decoded[0] == decoded[1] == decoded[2]
    for name, content in (("no.csv", "a,b\n1,2\n"), ("no.npz", "nothing"), ("no.parquet", "nothing")):
        (tmp_path / name).write_text(content)
        result = run("decode", tmp_path / name, "--encoder", tmp_path / "encoder", "--device", "cpu")
        assert result.exit_code == 3
        assert name in result.stderr


def test_training_an_encoder_of_a_small_space(small_space: Path, tmp_path: Path) -> None:
    out = tmp_path / "encoder"
    result = run("train", small_space, "--minutes", 0.05, "--out", out, "--latent-dim", 8, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["quality"]["validity"] == 1.0
    assert json.loads((out / "metrics.json").read_text())["cells"] == record["cells"]
    assert "Small cells" in (out / "README.md").read_text()


def test_data_and_doctor_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_DATA", str(tmp_path))
    listed = {one["name"]: one["found"] for one in json.loads(run("data", "list", "--json").stdout)}
    assert listed.pop("digits")
    listed.pop("digits101.npz")  # comes with the library
    listed.pop("fashion-mnist")  # a package of Debian's may have installed it
    assert not listed.pop("cifar10")
    assert not any(listed.values())
    tables = {"nasbench101.npz", "nasbench201.parquet", "enas6_weightsharing.parquet", "darts_bench545.parquet"}
    assert set(listed) == tables
    assert "missing" in run("data", "verify").stdout
    (tmp_path / "nasbench101.npz").write_text("no archive")
    result = run("data", "verify")
    assert result.exit_code == 3
    assert "nasbench101.npz" in result.stderr
    record = json.loads(run("doctor", "--json").stdout)
    assert "nasbench101" in record["spaces"]
    assert record["devices"][0] == "cpu"


def test_the_installed_command_works_from_an_empty_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C"}
    command = [sys.executable, "-m", "graphnas", "spaces", "sample", "nasbench101", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    (architecture,) = json.loads(done.stdout)
    Space.load("nasbench101").validate(Architecture.from_dict(architecture))


def test_help_needs_neither_torch_nor_optuna(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom graphnas.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'optuna', 'numpy', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
