"""Put a picture into a Markdown artifact."""

from __future__ import annotations

import base64

MAX_BYTES = 500_000
"""Size of an artifact that Prefect's database can take."""


def with_picture(text: str, title: str, alt: str, svg: bytes) -> str:
    """`text` with a section that shows `svg` as a data URI; `text` alone if `svg` is empty or the artifact would be too large."""
    data = base64.b64encode(svg).decode()
    picture = f"\n\n## {title}\n\n![{alt}](data:image/svg+xml;base64,{data})"
    return text + picture if svg and len(text.encode()) + len(picture) < MAX_BYTES else text
