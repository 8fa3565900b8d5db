"""The examples of docs/producing.md."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "producing.md"
_EXAMPLE = re.compile(r"<!-- example: (.+?) -->\n```python\n(.+?)```", re.DOTALL)


def examples() -> dict[str, str]:
    """Their code, by name."""
    return dict(_EXAMPLE.findall(PAGE.read_text()))
