"""Put a picture into Markdown."""

from __future__ import annotations

import base64

MAX_BYTES = 500_000
"""Size of an artifact that Prefect's database can take."""
WORST, WORST_ALT = "Images that got worse most", "the label, the reference and the candidate of each"


def picture(title: str, alt: str, svg: bytes) -> str:
    """A section that shows `svg` as a data URI."""
    return f"## {title}\n\n![{alt}](data:image/svg+xml;base64,{base64.b64encode(svg).decode()})"


def with_picture(text: str, title: str, alt: str, svg: bytes) -> str:
    """`text` with the section of a picture; `text` alone if `svg` is empty or the artifact would be too large."""
    section = f"\n\n{picture(title, alt, svg)}"
    return text + section if svg and len(text.encode()) + len(section) < MAX_BYTES else text
