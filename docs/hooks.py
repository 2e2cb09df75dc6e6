"""What the pages' fences say to the tests, said so that mkdocs understands it too.

- ```` ```python no-run <reason> ````: an example that the tests do not run
- ```` ```hex name=<kind>:<case> ````: bytes that the tests decode
"""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite the two kinds of fence."""
    markdown = re.sub(r"^(```python) no-run.*$", r"\1", markdown, flags=re.MULTILINE)
    return re.sub(r"^```hex name=\"?([^\"\n]+)\"?$", r'```text title="\1"', markdown, flags=re.MULTILINE)
