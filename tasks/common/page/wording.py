"""The words of the pages of validation and review, which stand in English in the code, in the language of report.language.

reads   tasks/common/page/zh.toml
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.common.text import counted

FRAME = {"document.contents": "Contents", "document.note": "", "document.source": "{source}", "document.values": "As text"}


@dataclass(frozen=True)
class Wording:
    """The texts of one language; what it lacks is shown in English."""

    language: str
    frame: dict[str, str]
    counts: dict[str, str]
    """A number with what it counts, by the English singular."""
    texts: dict[str, str]
    """By the English text."""

    def __call__(self, key: str, **values: object) -> str:
        """A text of the page's frame, as `tasks.common.page.render.Texts` asks for it."""
        return self.frame[key].format(**values)

    def say(self, english: str, **values: object) -> str:
        """The text with its placeholders filled."""
        text = self.texts.get(english, english)
        return text.format(**values) if values else text

    def counted(self, number: int, singular: str, plural: str = "") -> str:
        """A number with what it counts, see `tasks.common.text.counted`."""
        if form := self.counts.get(singular):
            return form.format(number=f"{number:,}")
        return counted(number, singular, plural)

    @property
    def stop(self) -> str:
        """What ends a sentence that another one follows."""
        return ". " if self.language == "en" else "。"


ENGLISH = Wording("en", FRAME, {}, {})


def wording(language: Literal["en", "zh"]) -> Wording:
    """The words in the language."""
    if language == "en":
        return ENGLISH
    tables: dict[str, Any] = tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text(encoding="utf-8"))
    return Wording(language, tables["frame"], tables["count"], tables["texts"])
