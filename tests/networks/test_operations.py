import inspect

import pytest
import torch
from networks.every_kind import OPERATIONS
from torch import nn

from graphnas.networks import MODULES, count_parameters, make_operation, make_operations
from graphnas.networks.build import SKELETONS
from graphnas.networks.operations import FactorizedReduce
from graphnas.spaces.network_tables import MODULE_OPTIONS, SKELETON_SIZES


def image(channels: int, size: int) -> torch.Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_every_module_is_tried_here_and_allowed_in_space_files() -> None:
    assert {table["module"] for table in OPERATIONS.values()} == set(MODULES) == set(MODULE_OPTIONS)
    for name, module in MODULES.items():
        parameters = inspect.signature(module).parameters.values()
        assert {each.name for each in parameters if each.kind is each.KEYWORD_ONLY} == set(MODULE_OPTIONS[name])


def test_every_skeleton_and_size_is_allowed_in_space_files() -> None:
    assert {name: tuple(skeleton().sizes) for name, skeleton in SKELETONS.items()} == SKELETON_SIZES


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 7, 1])
def test_channels_stay_and_the_size_is_divided_by_the_stride(name: str, stride: int, size: int) -> None:
    module = make_operation(OPERATIONS[name])(4, stride)
    assert module(image(4, size)).shape == (2, 4, -(-size // stride), -(-size // stride))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("conv3", 9 * 16 + 8),
        ("relu_conv1", 16 + 8),
        ("separable5", 25 * 4 + 16 + 8),
        ("sep3", 2 * (9 * 4 + 16 + 8)),
        ("dil5", 25 * 4 + 16 + 8),
        ("avg3", 0),
        ("max3", 0),
        ("skip", 0),
        ("none", 0),
    ],
)
def test_parameters_on_four_channels(name: str, parameters: int) -> None:
    assert count_parameters(make_operation(OPERATIONS[name])(4, 1)) == parameters


def test_order_of_relu_and_convolution() -> None:
    first = {name: next(iter(make_operation(table)(4, 1).modules())) for name, table in OPERATIONS.items()}
    assert isinstance(first["relu_conv1"][0], nn.ReLU)
    assert isinstance(first["sep3"][0], nn.ReLU)
    assert isinstance(first["dil5"][0], nn.ReLU)
    assert isinstance(first["conv3"][-1], nn.ReLU)
    assert isinstance(first["separable5"][-1], nn.ReLU)


def test_skip_and_none() -> None:
    x = image(3, 6)
    assert torch.equal(make_operation({"module": "identity"})(3, 1)(x), x)
    assert isinstance(make_operation({"module": "identity"})(3, 2), FactorizedReduce)
    assert not make_operation({"module": "zero"})(3, 2)(x).any()


def test_averages_are_of_pixels_inside_the_image() -> None:
    averages = make_operation({"module": "avg_pool", "kernel": 3})(1, 1)(torch.ones(1, 1, 4, 4))
    torch.testing.assert_close(averages, torch.ones(1, 1, 4, 4))


def test_a_factorized_reduction_sees_every_pixel() -> None:
    # Weights 1, no normalisation: even channels hold pixels of even rows and columns, odd ones of odd.
    module = FactorizedReduce(1, 3)
    nn.init.ones_(module.even.weight)
    nn.init.ones_(module.odd.weight)
    module.norm = nn.Identity()
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    even, odd = torch.tensor([[1.0, 3.0], [7.0, 9.0]]), torch.tensor([[5.0, 0.0], [0.0, 0.0]])
    assert torch.equal(module(x), torch.stack([even, even, odd])[None])
    assert not module(-x).any()  # ReLU comes first


def test_tables_are_validated() -> None:
    with pytest.raises(ValueError, match="but got 'lstm'"):
        make_operation({"module": "lstm", "kernel": 3})
    with pytest.raises(ValueError, match="odd kernel size, but got 2"):
        make_operation({"module": "conv", "kernel": 2})
    with pytest.raises(ValueError, match="the options kernel, dilation for the module 'dil_conv', but got kernel"):
        make_operation({"module": "dil_conv", "kernel": 3})
    with pytest.raises(ValueError, match="no options for the module 'identity', but got kernel"):
        make_operation({"module": "identity", "kernel": 3})
    with pytest.raises(ValueError, match="dilation of the module 'dil_conv' to be a positive integer, but got 0"):
        make_operation({"module": "dil_conv", "kernel": 3, "dilation": 0})
    with pytest.raises(ValueError, match="kernel of the module 'conv' to be a positive integer, but got '3'"):
        make_operation({"module": "conv", "kernel": "3"})
    with pytest.raises(ValueError, match=r"^operations\.mine: Expected an operation's module"):
        make_operations({"mine": {"module": "lstm"}})
