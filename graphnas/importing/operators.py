"""A network of any origin as a graph of operators, before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_OPERATORS, MOST_EDGES = 100_000, 500_000
"""Operators of the largest graph that is read, and how often they read one another."""


class ImportFailed(Exception):
    """A network cannot be read."""


@dataclass(frozen=True)
class Operator:
    """One step of a network."""

    kind: str
    """One of `KINDS`, `input`, `output`, or the name of what has no kind."""
    sources: tuple[int, ...] = ()
    """Numbers of the operators whose results it takes, in the order of its arguments."""
    name: str = ""
    """What the program calls it."""
    origin: str = ""
    """Name of the operation in the program, such as `conv2d` or `BatchNormalization`."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """`kernel`, `stride`, `dilation` (tuples), `groups`, `in_channels`, `out_channels`, where it has them."""
    shape: tuple[int, ...] | None = None
    """Shape of the result; None where it is not known."""


@dataclass(frozen=True)
class OperatorGraph:
    """Operators in an order in which sources come first.

    Raises:
        ImportFailed: if there are too many, or a source does not come first.
    """

    operators: tuple[Operator, ...]
    parameters: int | None = None
    """Number of weights; None where it is not known."""

    def __post_init__(self) -> None:
        if len(self.operators) > MOST_OPERATORS:
            raise ImportFailed(f"Expected at most {MOST_OPERATORS:,} operators, but got {len(self.operators):,}")
        edges = sum(len(one.sources) for one in self.operators)
        if edges > MOST_EDGES:
            raise ImportFailed(f"Expected at most {MOST_EDGES:,} edges, but got {edges:,}")
        for number, one in enumerate(self.operators):
            if any(not 0 <= source < number for source in one.sources):
                raise ImportFailed(f"Expected the sources of operator {number} ({one.name}) to come before it")

    def fed(self) -> list[bool]:
        """For each operator, whether it depends on an input."""
        found = [one.kind == "input" for one in self.operators]
        for number, one in enumerate(self.operators):
            found[number] |= any(found[source] for source in one.sources)
        return found

    def read(self) -> list[bool]:
        """For each operator, whether an output depends on it."""
        found = [one.kind == "output" for one in self.operators]
        for number in reversed(range(len(self.operators))):
            if found[number]:
                for source in self.operators[number].sources:
                    found[source] = True
        return found


_NAMES = {
    "conv": "conv convolution conv1d conv2d conv3d lazyconv2d",
    "transposed_conv": "conv_transpose1d conv_transpose2d conv_transpose3d convtranspose convtranspose1d "
    "convtranspose2d convtranspose3d",
    "linear": "linear addmm gemm lazylinear",
    "matmul": "matmul bmm mm baddbmm einsum mv dot",
    "norm": "batch_norm batchnorm1d batchnorm2d batchnorm3d batchnormalization native_batch_norm cudnn_batch_norm "
    "_native_batch_norm_legit_no_training _native_batch_norm_legit group_norm groupnorm native_group_norm "
    "layer_norm layernorm native_layer_norm layernormalization layernorm2d instance_norm instancenorm1d instancenorm2d "
    "instancenorm3d instancenormalization groupnormalization rms_norm rmsnorm _fused_rms_norm local_response_norm "
    "localresponsenorm lrn simplifiedlayernormalization normalize lpnormalization weight_norm",
    "activation": "relu relu6 hardtanh clip clamp clamp_min clamp_max gelu fastgelu silu swish sigmoid tanh hardswish "
    "hardsigmoid leaky_relu leakyrelu elu selu celu prelu mish softplus softsign logsigmoid log_sigmoid glu softshrink "
    "hardshrink tanhshrink threshold rrelu thresholdedrelu erf rsqrt sqrt pow abs exp expm1 log log1p sin cos "
    "reciprocal square floor ceil round",
    "softmax": "softmax _softmax log_softmax _log_softmax logsoftmax softmin",
    "max_pool": "max_pool1d max_pool2d max_pool3d maxpool maxpool1d maxpool2d maxpool3d max_pool2d_with_indices "
    "max_pool3d_with_indices max_pool1d_with_indices fractional_max_pool2d",
    "avg_pool": "avg_pool1d avg_pool2d avg_pool3d averagepool avgpool1d avgpool2d avgpool3d lp_pool2d",
    "global_pool": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d "
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptiveavgpool1d adaptiveavgpool2d adaptiveavgpool3d "
    "adaptivemaxpool1d adaptivemaxpool2d adaptivemaxpool3d globalaveragepool globalmaxpool",
    "add": "add iadd",
    "sub": "sub isub rsub subtract",
    "mul": "mul imul multiply div divide truediv",
    "concat": "cat concat concatenate stack hstack vstack",
    "attention": "scaled_dot_product_attention multi_head_attention_forward multiheadattention attention "
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention",
    "embedding": "embedding embedding_bag",
    "upsample": "interpolate upsample upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d "
    "upsample_bicubic2d upsample_trilinear3d upsample_linear1d _upsample_bilinear2d_aa resize pixel_shuffle "
    "pixelshuffle depthtospace upsamplingbilinear2d upsamplingnearest2d grid_sample",
    "zeros": "zeros_like new_zeros",
    "reduce": "mean reducemean sum reducesum amax amin max reducemax min prod logsumexp topk var_mean var std",
    "recurrent": "lstm gru rnn rnn_tanh rnn_relu lstm_cell gru_cell",
    # What changes the form or the scale of one tensor or hides a part of it, and is no vertex of its own.
    "view": "view _unsafe_view view_as reshape reshape_as flatten unflatten permute transpose t mt adjoint swapaxes "
    "movedim unsqueeze squeeze expand expand_as repeat tile contiguous clone alias detach detach_ to _to_copy type_as "
    "float half bfloat16 double cast castlike lift_fresh_copy lift_fresh dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_dropout native_dropout stochastic_depth stochasticdepth droppath identity slice select "
    "getitem split split_with_sizes chunk unbind narrow index_select gather roll index channel_shuffle channelshuffle "
    "pixel_unshuffle pixelunshuffle spacetodepth unfold im2col pad constant_pad_nd reflection_pad1d reflection_pad2d "
    "replication_pad2d zeropad2d constantpad2d reflectionpad2d replicationpad2d _assert_tensor_metadata neg "
    "masked_fill where shape size copy fill",
}

KINDS = tuple(kind for kind in _NAMES if kind != "view")
"""What a network's operators are; `view` is what is passed over."""

_KIND_OF = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of(origin: str) -> str:
    """The kind of an operation by its name in PyTorch or ONNX, or `view`; its own name if it has none."""
    name = origin.lower()
    return _KIND_OF.get(name) or _KIND_OF.get(name.rstrip("_")) or origin


def pooled(kind: str, before: Sequence[int] | None, after: Sequence[int] | None) -> str:
    """The kind of a reduction or an adaptive pool: `global_pool` where nothing is left of the image but its channels.

    Args:
        kind: `reduce` or `global_pool`.
        before: Shape of what is reduced.
        after: Shape of the result.
    """
    if not before or not after or len(before) < 3:
        return kind
    channels = before[1] if len(before) > 3 else before[-1]
    left = math.prod(after[1:])
    if left == channels or (len(before) == 3 and left in before[1:]):
        return "global_pool"
    return "avg_pool" if kind == "global_pool" else kind
