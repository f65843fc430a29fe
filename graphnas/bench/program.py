"""What the program is, so that results of another program are not taken for its own."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from graphnas.content import content_folder


@functools.cache
def program_digest(parts: tuple[str, ...]) -> str:
    """16 hex digits of the files of some of the library's packages, of its cells and its spaces."""
    import graphnas

    package = Path(graphnas.__file__).parent
    code = (path for part in parts for path in sorted((package / part).rglob("*.py")))
    files = (*code, package / "cell.py", package / "canonical.py", *sorted(content_folder("spaces").glob("*.toml")))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
