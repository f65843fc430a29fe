from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphnas.importing import ImportFailed, coarsen, read_onnx

onnx = pytest.importorskip("onnx")


def save(path: Path, nodes: list[object], weights: dict[str, tuple[int, ...]], result: str = "y") -> Path:
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kinds.FLOAT, [2, 3, 16, 16])],
        [helper.make_tensor_value_info(result, kinds.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def node(op: str, inputs: str, outputs: str, **attributes: object) -> object:
    return onnx.helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def test_a_residual_block(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w0", "a", kernel_shape=[3, 3], pads=[1] * 4),
        node("BatchNormalization", "a s s s s", "b"),
        node("Relu", "b", "c"),
        node("Conv", "c w1", "d", pads=[1] * 4, strides=[2, 2]),
        node("Conv", "c w2", "e", strides=[2, 2]),
        node("Add", "d e", "f"),
        node("GlobalAveragePool", "f", "g"),
        node("Flatten", "g", "h"),
        node("Gemm", "h w3", "y", transB=1),
    ]
    weights = {"w0": (8, 3, 3, 3), "s": (8,), "w1": (8, 8, 3, 3), "w2": (8, 8, 1, 1), "w3": (10, 8)}
    graph = coarsen(read_onnx(save(tmp_path / "net.onnx", nodes, weights)))
    assert graph.cell().ops == (
        "input", "conv3x3", "conv3x3", "conv1x1", "add", "global_pool", "linear", "output",
    )  # fmt: skip
    assert [one.stride for one in graph.vertices[1:4]] == [1, 2, 2]
    assert graph.vertices[2].size == (8, 8)
    assert graph.mapping.fused == {"norm": 1, "activation": 1}
    assert graph.parameters == 8 * 27 + 8 + 576 + 64 + 80


def test_what_is_left_out_is_no_source(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", "x shape", "s"),
        onnx.helper.make_node("GRU", ["s", "w", "r"], ["", "h"], hidden_size=4),
        onnx.helper.make_node("Clip", ["h", "", "most"], ["y"]),
    ]
    weights = {"shape": (3,), "w": (1, 12, 8), "r": (1, 12, 4), "most": ()}
    graph = read_onnx(save(tmp_path / "net.onnx", nodes, weights))
    assert [(one.origin, one.sources) for one in graph.operators[2:4]] == [("GRU", (1,)), ("Clip", (2,))]


def test_weights_may_be_constants(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.zeros((3, 1, 3, 3), np.float32))
    nodes = [onnx.helper.make_node("Constant", [], ["w"], value=weight), node("Conv", "x w", "y", group=3)]
    graph = coarsen(read_onnx(save(tmp_path / "net.onnx", nodes, {})))
    assert [one.label for one in graph.vertices] == ["input", "dwconv3x3", "output"]
    with pytest.raises(ImportFailed, match=r"\(Conv\): expected an input and a weight"):
        read_onnx(save(tmp_path / "one.onnx", [node("Conv", "x", "y")], {}))


def test_weights_may_be_sparse(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", [node("Conv", "x w", "y")], {"w": (4, 3, 3, 3)})
    model = onnx.load(path)
    del model.graph.initializer[:]
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "w")
    places = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "w places")
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [4, 3, 3, 3]))
    onnx.save(model, path)
    assert [one.label for one in coarsen(read_onnx(path)).vertices] == ["input", "conv3x3", "output"]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for content in (b"", b"\x80\x04 pickles are not read", b"\x0a\xff\xff\xff\xff\x0f"):
        path.write_bytes(content)
        with pytest.raises(ImportFailed, match=r"net\.onnx: expected an ONNX model"):
            read_onnx(path)
    with pytest.raises(ImportFailed, match="reads 'nowhere', which comes from nowhere"):
        read_onnx(save(path, [node("Add", "x nowhere", "y")], {}))
    with pytest.raises(ImportFailed, match=r"'twin' \(Relu\) writes 'y', which is there already"):
        read_onnx(save(path, [node("Relu", "x", "y"), node("Relu", "x", "y", name="twin")], {}))
    for odd in ({"group": 0}, {"group": -5}, {"kernel_shape": [2**62] * 50}, {"strides": [0, 1]}):
        with pytest.raises(ImportFailed, match="a convolution has a kernel of"):
            read_onnx(save(path, [node("Conv", "x w", "y", **odd)], {"w": (3, 3, 3, 3)}))
    with pytest.raises(ImportFailed, match=r"\(MaxPool\): expected a window, but got \(-2, 2\)"):
        read_onnx(save(path, [node("MaxPool", "x", "y", kernel_shape=[-2, 2])], {}))
    body = onnx.helper.make_graph([node("Relu", "x", "z")], "body", [], [onnx.ValueInfoProto(name="z")])
    with pytest.raises(ImportFailed, match=r"\(If\): control flow is not followed"):
        read_onnx(save(path, [node("If", "x", "y", then_branch=body, else_branch=body)], {}))
    with pytest.raises(FileNotFoundError):
        read_onnx(tmp_path / "none.onnx")


def test_products_with_weights_are_linear_and_shapes_are_no_data(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Shape", "a", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Concat", "n rest", "form", axis=0),
        node("Reshape", "a form", "b"),
        node("Softmax", "b", "c"),
        node("MatMul", "c w", "d"),
        node("MatMul", "d d", "y"),
    ]
    path = save(tmp_path / "net.onnx", nodes, {"w": (16, 16), "zero": (1,), "rest": (2,)})
    graph = coarsen(read_onnx(path))
    assert [one.label for one in graph.vertices] == ["input", "linear", "softmax", "linear", "matmul", "output"]
    assert graph.mapping.passed_over == {"Reshape": 1}
    assert graph.mapping.unread == {}
