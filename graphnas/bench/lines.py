"""Files of finished work, one JSON record a line, that a comparison adds to and goes on from."""

from __future__ import annotations

from pathlib import Path

from graphnas import studies


def whole_lines(path: Path) -> list[str]:
    """The lines of a file; none where there is no file.

    A last line that is not whole, which a killed comparison leaves, is cut off.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        studies.write_text(path, whole)
    return whole.splitlines()
