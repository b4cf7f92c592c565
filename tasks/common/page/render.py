"""A document as one self-contained page: no network, light and dark, on a phone and on paper.

reads   tasks/common/page/page.html.j2
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.common.page.document import Document, Panel, cell
from tasks.common.text import line

TEMPLATE = "page.html.j2"
ESCAPED = re.compile(r"\\(.)")
CODE = re.compile(r"`([^`]*)`")
STRONG = re.compile(r"\*\*(.+?)\*\*")
TIP = re.compile(r'<(?:polygon|rect|circle)[^>]*class="([^"]*)"[^>]*><title>([^<]*)</title>')
GUARDED = 0xE000
"""Private-use characters that stand for escaped ones while markup is read."""


class Texts(Protocol):
    """The words of the page's frame in the document's language."""

    @property
    def language(self) -> str:
        """The code of the document's language, as `<html lang>` takes it."""

    def __call__(self, key: str, **values: object) -> str:
        """document.contents, document.note, document.values, and document.source with its `source`."""


def render(document: Document, words: Texts) -> str:
    """The whole file."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "inline": inline,
        "line": line,
        "cell": cell,
        "kind": lambda block: type(block).__name__,
        "drawing": Markup,
        "tips": tips,
    }
    return templates.get_template(TEMPLATE).render(document=document, words=words) + "\n"


def tips(panels: Sequence[Panel]) -> list[Markup]:
    """What a pointer shows over the shapes of drawings, for those who have none; labels that nothing is said of are left out."""
    found = (match for panel in panels for match in TIP.finditer(panel.svg) if "box other" not in match[1])
    return [Markup(text) for text in dict.fromkeys(match[2] for match in found)]  # noqa: S704 - escaped where it was drawn


def inline(text: str) -> Markup:
    """HTML of a text with `code` and **strong**; everything else is shown as it is."""
    guarded = ESCAPED.sub(lambda match: chr(GUARDED + ord(match[1])), text).replace("&lt;", "<")
    html = STRONG.sub(r"<strong>\1</strong>", CODE.sub(r"<code>\1</code>", escape(guarded)))
    shown = re.sub(f"[{chr(GUARDED)}-{chr(GUARDED + 127)}]", lambda match: escape(chr(ord(match[0]) - GUARDED)), html)
    return Markup(shown)  # noqa: S704 - escaped above
