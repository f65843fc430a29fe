"""Where search spaces, trained encoders and training recipes are, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path


def content_folder(kind: str) -> Path:
    """The folder of `spaces`, `encoders` or `recipes` that comes with the library.

    A wheel carries them inside the package; a checkout keeps them beside it, recipes in `runs`.
    """
    package = Path(__file__).resolve().parent
    packaged = package / "_content" / kind
    if packaged.is_dir():
        return packaged
    return package.parent / ("runs/recipes" if kind == "recipes" else kind)
