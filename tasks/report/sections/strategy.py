"""How the models were trained: the recipe in words, and the settings of both phases side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.common.page.document import Paragraph, Section, Table
from tasks.common.text import code, markdown
from tasks.report.facts import Facts
from tasks.report.inputs import Phase

AUGMENTATION = ("mosaic", "mixup", "copy_paste", "scale", "translate", "degrees", "hsv_h", "hsv_s", "hsv_v", "fliplr", "flipud")
"""Ultralytics' arguments that vary the training images."""
SOURCE = "models/{baseline,finetune}/args.yaml"


def section(facts: Facts) -> Section:
    words, phases = facts.words, facts.inputs.phases
    rows = tuple((words(f"strategy.{name}"), *(_value(facts, name, phase) for phase in phases)) for name in NAMES)
    header = (words("column.setting"), *(f"`{phase.name}`" for phase in phases))
    table = Table(header, rows, f"{SOURCE}; models/*/training.json", words("strategy.caption"), num_text_columns=3)
    return Section(
        "strategy", words("strategy.title"), (Paragraph(_sentence(facts), f"{SOURCE}; params.yaml: finetune.recipe"), table)
    )


def summary(facts: Facts) -> str:
    """Recipe, optimizer, batch and patience of the fine-tune in a few words."""
    arguments = facts.inputs.finetune.arguments
    values = {name: _argument(facts, arguments, name) for name in ("optimizer", "batch", "patience")}
    return facts.words("strategy.summary", recipe=code(facts.recipe), **values)


def _sentence(facts: Facts) -> str:
    words, arguments = facts.words, facts.inputs.finetune.arguments
    values = {
        "recipe": code(facts.recipe),
        "words": words(f"strategy.recipe.{facts.recipe}"),
        "rate": _rate(facts, arguments),
        "varied": _varied(facts, arguments),
    }
    return words("strategy.text", **values)


def _value(facts: Facts, name: str, phase: Phase) -> str:
    """The cell of a phase in the row `name`."""
    words, arguments = facts.words, phase.arguments
    match name:
        case "start":
            return code(phase.training["weights"])
        case "epochs":
            return f"{phase.training['epochs_run']} / {phase.training['epochs']}"
        case _ if not phase.training["epochs"]:
            return words.none
        case "rate":
            return _rate(facts, arguments)
        case "augmentation":
            return _varied(facts, arguments)
        case _:
            return _argument(facts, arguments, name)


NAMES = ("start", "epochs", "rate", "optimizer", "batch", "nbs", "patience", "warmup_epochs", "freeze", "augmentation")


def _rate(facts: Facts, arguments: Mapping[str, Any]) -> str:
    """The learning rate from the first to the last epoch in words."""
    first, share = arguments.get("lr0"), arguments.get("lrf", 1.0)
    if not isinstance(first, int | float) or not isinstance(share, int | float):
        return facts.words.none
    key = "constant" if share == 1 else "cosine" if arguments.get("cos_lr") else "straight"
    return facts.words(f"strategy.rate_{key}", first=f"{first:.3g}", last=f"{first * share:.3g}")


def _varied(facts: Facts, arguments: Mapping[str, Any]) -> str:
    """The augmentation that is switched on."""
    on = [f"{name} {arguments[name]:g}" for name in AUGMENTATION if arguments.get(name)]
    return facts.words.listing(on) if on else facts.words("strategy.unvaried")


def _argument(facts: Facts, arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    return facts.words.none if value is None else f"{value:g}" if isinstance(value, float) else markdown(value)
