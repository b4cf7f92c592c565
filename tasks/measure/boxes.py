"""Geometry of boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def box_iou(first_xyxy: NDArray[np.floating[Any]], second_xyxy: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Intersection over union (D, T) of boxes (D, 4) and (T, 4), corners x1 y1 x2 y2; 0 for boxes without area."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2]).astype(np.float64)
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(box[:, 2:] - box[:, :2], 0, None), axis=1, dtype=np.float64) for box in (first_xyxy, second_xyxy)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
