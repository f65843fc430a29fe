"""Import a zoo of networks, and see what of them is known.

Most of them are from packages that nobody here wrote, pytorchcv and transformers (`pip install pytorchcv transformers`,
with torch pinned), built from their configurations with random weights; the others are in `zoo_networks.py`. One of
these, `ByValue`, does what depends on the values of its input, and cannot be imported.

    python runs/import_zoo.py
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import zoo_networks as own
from rich.console import Console
from torch import nn

from graphnas.importing import ImportFailed, coarsen, macro_structure, recognise_cells, recognise_network, trace
from graphnas.spaces import Space

PYTORCHCV = (
    "alexnet:alexnet", "vgg:vgg11", "resnet:resnet18", "resnet:resnet50", "preresnet:preresnet18",
    "resnext:resnext50_32x4d", "seresnet:seresnet50", "densenet:densenet121", "bninception:bninception",
    "inceptionv3:inceptionv3", "inceptionv4:inceptionv4", "squeezenet:squeezenet_v1_1", "mobilenet:mobilenet_w1",
    "mobilenetv2:mobilenetv2_w1", "mobilenetv3:mobilenetv3_large_w1", "shufflenet:shufflenet_g1_w1",
    "shufflenetv2:shufflenetv2_w1", "efficientnet:efficientnet_b0", "regnet:regnetx002", "dla:dla34", "dpn:dpn68",
    "darts:darts", "nasnet:nasnet_4a1056", "xception:xception",
)  # fmt: skip
TRANSFORMERS = {
    "BertModel": "BertConfig", "DistilBertModel": "DistilBertConfig", "RobertaModel": "RobertaConfig",
    "AlbertModel": "AlbertConfig", "GPT2Model": "GPT2Config", "ViTForImageClassification": "ViTConfig",
    "SwinForImageClassification": "SwinConfig", "ConvNextForImageClassification": "ConvNextConfig",
    "SegformerForSemanticSegmentation": "SegformerConfig", "MobileViTForImageClassification": "MobileViTConfig",
}  # fmt: skip
TEXTS = ("BertModel", "DistilBertModel", "RobertaModel", "AlbertModel", "GPT2Model")
SIZES = {"MobileViTForImageClassification": 256, "inceptionv3:inceptionv3": 299, "inceptionv4:inceptionv4": 299,
         "xception:xception": 299}  # fmt: skip
IMAGE = (3, 64, 64)
OWN: dict[str, tuple[Callable[[], nn.Module], tuple[Any, ...]]] = {
    "LeNet": (own.LeNet, ((1, 28, 28),)),
    "GoogLeNet": (own.googlenet, ((3, 224, 224),)),
    "MLP-Mixer": (own.mlp_mixer, (IMAGE,)),
    "ViT": (own.vision_transformer, (IMAGE,)),
    "attention by hand": (own.attention_by_hand, (IMAGE,)),
    "U-Net": (own.UNet, (IMAGE,)),
    "ConvNeXt": (own.convnext, (IMAGE,)),
    "ConvMixer": (own.convmixer, (IMAGE,)),
    "shared weights": (own.Shared, (IMAGE,)),
    "siamese": (own.Siamese, (IMAGE, IMAGE)),
    "control flow by shape": (own.ByShape, (IMAGE,)),
    "control flow by value": (own.ByValue, ((8,),)),
    "dynamic shapes": (own.DynamicShapes, (IMAGE,)),
    "LSTM": (own.Recurrent, ("words",)),
    "WaveNet": (own.WaveNet, ((1, 256),)),
    "video": (own.video_network, ((3, 8, 32, 32),)),
    "generator": (own.generator, ((32,),)),
    "PointNet": (own.PointNet, ((3, 100),)),
    "highway": (own.Highway, ((32,),)),
    "autoencoder": (own.autoencoder, ((64,),)),
}


def networks() -> dict[str, Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]]:
    """All networks by name, with example inputs; made when they are asked for."""
    found: dict[str, Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]] = {}
    for name in PYTORCHCV:
        found[f"pytorchcv {name.partition(':')[2]}"] = functools.partial(_pytorchcv, name)
    for name in TRANSFORMERS:
        found[f"transformers {name}"] = functools.partial(_transformers, name)
    for name, (make, shapes) in OWN.items():
        found[name] = functools.partial(_own, make, shapes)
    return found


def _pytorchcv(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    module, _, function = name.partition(":")
    size = SIZES.get(name, 224)
    network = getattr(importlib.import_module(f"pytorchcv.models.{module}"), function)()
    return network, (torch.zeros(2, 3, size, size),)


def _transformers(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    package = importlib.import_module("transformers")
    network = getattr(package, name)(getattr(package, TRANSFORMERS[name])())
    size = SIZES.get(name, 224)
    return network, (torch.zeros(2, 16, dtype=torch.long) if name in TEXTS else torch.zeros(2, 3, size, size),)


def _own(make: Callable[[], nn.Module], shapes: tuple[Any, ...]) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    inputs = [torch.zeros(2, 12, dtype=torch.long) if one == "words" else torch.zeros(2, *one) for one in shapes]
    return make(), tuple(inputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="parts of names")
    parser.add_argument("--out", type=Path, default=Path("runs/results/import_zoo.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    spaces = [Space.load(name) for name in ("nasbench101", "nasbench201", "darts", "enas")]
    screen, quality = Console(stderr=True), {}
    total, imported = 0, 0
    for name, make in networks().items():
        if args.only and not any(part in name for part in args.only):
            continue
        total += 1
        network, inputs = make()
        clock = time.process_time()
        try:
            graph = coarsen(trace(network, *inputs))
        except ImportFailed as error:
            quality[name] = f"not imported: {str(error)[:160]}"
            screen.print(f"{name}: {quality[name]}", highlight=False)
            continue
        imported += 1
        macro = macro_structure(graph)
        whole, cells = recognise_network(graph, spaces), recognise_cells(graph, macro, spaces)
        account = graph.mapping
        words = [
            f"{account.operators:,} operators, {100 * account.share:.1f} % known",
            f"{len(graph.vertices) - 1:,} vertices",
            f"{len(macro.blocks)} blocks, one of {max(len(one.cell.ops) - 2 for one in macro.blocks)} vertices and "
            f"one {max(one.count for one in macro.blocks)} times",
        ]
        if account.unmapped:
            words.append("unknown: " + ", ".join(account.unmapped))
        if whole is not None:
            words.append(f"an architecture of {whole.space}")
        if cells:
            words.append(f"{len(cells[0].places)} times {' '.join(cells[0].architecture.cells[0].ops[1:-1])}")
        words.append(f"{time.process_time() - clock:.1f} CPU-s")
        quality[name] = "; ".join(words)
        screen.print(f"{name}: {quality[name]}", highlight=False)
    summary = {"imported": f"{imported} of {total}"}
    if not args.only:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "name": "import_zoo",
            "figure": "Networks from elsewhere, imported",
            "quality": summary | quality,
            "command": "python runs/import_zoo.py",
            "versions": {"torch": torch.__version__},
        }
        args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    screen.print(f"{imported} of {total} imported")


if __name__ == "__main__":
    main()
