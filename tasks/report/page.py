"""The report as one self-contained page.

reads   tasks/report/report.html.j2
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.report.catalogue import Words
from tasks.report.document import Document, cell

TEMPLATE = "report.html.j2"
ESCAPED = re.compile(r"\\(.)")
CODE = re.compile(r"`([^`]*)`")
STRONG = re.compile(r"\*\*(.+?)\*\*")
GUARDED = 0xE000
"""Private-use characters that stand for escaped ones while markup is read."""


def render(document: Document, words: Words) -> str:
    """The whole file."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"inline": inline, "cell": cell, "kind": lambda block: type(block).__name__, "drawing": Markup}
    return templates.get_template(TEMPLATE).render(document=document, words=words) + "\n"


def inline(text: str) -> Markup:
    """HTML of a text with `code` and **strong**; everything else is shown as it is."""
    guarded = ESCAPED.sub(lambda found: chr(GUARDED + ord(found[1])), text)
    html = STRONG.sub(r"<strong>\1</strong>", CODE.sub(r"<code>\1</code>", escape(guarded)))
    shown = re.sub(f"[{chr(GUARDED)}-{chr(GUARDED + 127)}]", lambda found: escape(chr(ord(found[0]) - GUARDED)), html)
    return Markup(shown)  # noqa: S704 - escaped above
