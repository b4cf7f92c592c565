"""Text from people, datasets and other programs, shown as text and nothing else: one escape for each medium.

Records keep what somebody wrote; these functions are for showing it. Numbers and words of our own need none of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

JOINERS = "\u200c\u200d"
"""Invisible, and part of how Persian, Hindi and others are spelt."""
CONTROL = re.compile(r"[^\n\t -~]")
SPECIAL = re.compile(r"[\\`*\[\]|&~]|(?<![^\W_])_|_(?![^\W_])")
"""What begins emphasis, code, links, images, HTML, entities and table cells, anywhere in a line."""
OPENING = re.compile(r"^(\d*)(>|[#+=.)-](?=[\s#=-]|$))")
"""What makes a quote, a heading, a list or a rule of a line that begins so."""
LINK = re.compile(r"\S*(?:\w@|://|\bwww\.)\S*", re.IGNORECASE)
"""What Markdown viewers turn into a link without any mark; a backslash does not stop them all."""


def line(text: object) -> str:
    r"""`text` on one line: line breaks of every kind, control characters and what reorders text become `\n`, `\x1b`, `\u202e`.

    Bytes that are not UTF-8, which Python keeps as lone surrogates, become `\xff`. Letters of every script stay.
    """
    words = str(text)
    return words if words.isprintable() else "".join(map(_visible, words))


def lines(text: str) -> str:
    """`text` of several lines, escaped as `line` escapes it; line feeds and tabs stay."""
    return CONTROL.sub(lambda match: _visible(match[0]), text)


def first(items: Sequence[str], most: int = 20) -> str:
    """The first `most` of `items`, a line each, and how many more there are."""
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return "\n".join([*items[:most], *more])


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 image`, `2,462 images`: a number with what it counts; `plural` where that is not `singular` and an s."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def headed(lines: Iterable[tuple[str, str]]) -> str:
    """Lines of a head and its words, one below the other."""
    return "\n".join(f"{head:<10} {words}" for head, words in lines)


def time_left(seconds: float) -> str:
    """How long something will take, as exact as such a guess is: `8 s`, `4 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60) if seconds < 3600 else round(seconds / 600) * 10
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def gain(share: float) -> str:
    """A relative change, 0.0838 for one twelfth, as people read it everywhere: +8.38%."""
    percent = round(share * 100, 2)
    return f"{percent or 0.0:+.2f}%"


def markdown(text: object) -> str:
    """`text` inside a paragraph, a list or a table of Markdown, where it is no markup and no link.

    `tasks.common.page.render.inline` reads the same escapes.
    """
    shown, parts, end = line(text).strip(), [], 0
    for link in LINK.finditer(shown):
        parts += [_escaped(shown[end : link.start()]), code(link[0])]
        end = link.end()
    parts.append(_escaped(shown[end:]))
    return OPENING.sub(r"\1\\\2", "".join(parts))


def code(name: object) -> str:
    """`name` as code in Markdown, with ' for each backtick in it."""
    return f"`{line(name).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], num_text_columns: int | None = None) -> str:
    """A table in Markdown, with its columns padded so that they line up in a terminal.

    Args:
        head: the names of the columns.
        rows: the cells, as Markdown.
        num_text_columns: the columns after so many are aligned to the right; None for none.
    """
    from tabulate import tabulate

    aligned = ["left" if num_text_columns is None or i < num_text_columns else "right" for i in range(len(head))]
    text: str = tabulate(list(rows), head, tablefmt="pipe", disable_numparse=True, colalign=aligned)
    return text


def html(text: object) -> str:
    """`text` as the content or the quoted attribute of an HTML or SVG element."""
    return escape(line(text))


def _escaped(words: str) -> str:
    return SPECIAL.sub(r"\\\g<0>", words).replace("<", "&lt;")


def _visible(letter: str) -> str:
    if letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs":
        return letter
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
