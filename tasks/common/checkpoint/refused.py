"""The refusal of a checkpoint."""

from __future__ import annotations

UNKNOWN = "A YOLO checkpoint does not need it. Loading it could run somebody's program: ask where the file comes from."


class RefusedError(ValueError):
    """Why a checkpoint is not loaded, and the next step."""

    def __init__(self, why: str, fix: str = UNKNOWN) -> None:
        super().__init__(why)
        self.why, self.fix = why, fix
