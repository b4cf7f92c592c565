"""Section recipes of params.yaml: the learning rates that `finetune.recipe` fills the empty keys of finetune with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from tasks.common.params.types import STRICT, Float

FILLED = ("lr0", "lrf", "cos_lr")
"""Keys of finetune that may be empty."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecipeParams:
    lr0: Annotated[Float, Field(gt=0, le=1)] | None
    """Highest learning rate; null where lr0_share says it."""
    lr0_share: Annotated[Float, Field(gt=0, le=10)] | None
    """Highest learning rate as a share of baseline.lr0, so that it follows how the baseline was trained; null where lr0 does."""
    lrf: Annotated[Float, Field(gt=0, le=1)]
    """Last learning rate as a share of lr0."""
    cos_lr: bool
    """Cosine between lr0 and lr0 * lrf; false is a straight line."""

    @model_validator(mode="after")
    def _states_one_rate(self) -> Self:
        if (self.lr0 is None) == (self.lr0_share is None):
            raise ValueError(f"lr0 {self.lr0} and lr0_share {self.lr0_share}: set one of them and leave the other empty")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecipesParams:
    restart: RecipeParams
    """A warm restart: a cosine from the baseline's own rate, chosen by experiment (docs/recipe.md)."""
    origin: RecipeParams
    """The origin's careful rate, without a schedule."""


def fill(values: Mapping[str, Any]) -> dict[str, Any]:
    """The content of params.yaml with the empty keys of finetune filled from the recipe that it names.

    A key that is set stays: a recipe never overrules what the file or `--set` says. What cannot be filled stays empty and is
    refused with the rest.
    """
    finetune, recipes = values.get("finetune"), values.get("recipes")
    recipe = recipes.get(finetune.get("recipe")) if isinstance(finetune, dict) and isinstance(recipes, dict) else None
    if not isinstance(finetune, dict) or not isinstance(recipe, dict):
        return dict(values)
    filled = {key: recipe.get(key) for key in FILLED}
    share, baseline = recipe.get("lr0_share"), values.get("baseline")
    rate = baseline.get("lr0") if isinstance(baseline, dict) else None
    if isinstance(share, int | float) and isinstance(rate, int | float):
        filled["lr0"] = share * rate
    return {
        **values,
        "finetune": finetune | {key: value for key, value in filled.items() if key in finetune and finetune[key] is None},
    }
