"""Where the search spaces and trained encoders are, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path


def content_folder(kind: str) -> Path:
    """The folder of `spaces` or `encoders` that comes with the library.

    A wheel carries them inside the package; a checkout keeps them beside it.
    """
    package = Path(__file__).resolve().parent
    packaged = package / "_content" / kind
    return packaged if packaged.is_dir() else package.parent / kind
