"""Detect objects with an exported model: ONNX Runtime, OpenCV and numpy, nothing else.

    python examples/serve_onnx.py models/export IMAGE ...

prints a line an object: image, class, confidence, box x1 y1 x2 y2 in pixels of the image, and area of the mask in pixels.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def letterbox(image, side):
    """The image in a grey square: the network's input (1, 3, side, side), the scale, and where the image begins."""
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    w, h = round(width * scale), round(height * scale)
    left, top = round((side - w) / 2 - 0.1), round((side - h) / 2 - 0.1)
    square = np.full((side, side, 3), 114, np.uint8)
    square[top : top + h, left : left + w] = cv2.resize(image, (w, h))
    return square[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255, scale, np.array([left, top])


def main(folder, files):
    card = json.loads((Path(folder) / "card.json").read_text())
    names, limits, side = card["names"], card["thresholds"], card["imgsz"]
    assert not card["output"]["end2end"], "a network that suppresses boxes itself needs no NMSBoxesBatched"
    least = np.array([limits["conf"][name] for name in names])
    session = onnxruntime.InferenceSession(Path(folder) / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    for file in files:
        image = cv2.imread(file)
        chw, scale, origin = letterbox(image, side)
        output, *prototypes = session.run(None, {"images": chw})
        rows = output[0].T  # a row a cell: centre x, centre y, width, height, scores, mask coefficients
        cls = rows[:, 4 : 4 + len(names)].argmax(1)
        conf = rows[np.arange(len(rows)), 4 + cls]
        rows, cls, conf = (part[conf >= least[cls]] for part in (rows, cls, conf))
        corners = rows[:, :4] - np.c_[rows[:, 2:4] / 2, np.zeros((len(rows), 2))]
        kept = cv2.dnn.NMSBoxesBatched(corners.tolist(), conf.tolist(), cls.tolist(), 0.0, limits["iou"])
        for i in list(kept)[: limits["max_det"]]:
            x1, y1 = np.clip((corners[i, :2] - origin) / scale, 0, image.shape[1::-1])
            x2, y2 = np.clip((corners[i, :2] + corners[i, 2:] - origin) / scale, 0, image.shape[1::-1])
            area = ""
            if prototypes:
                logits = np.tensordot(rows[i, 4 + len(names) :], prototypes[0][0], 1)
                mask = cv2.resize(logits, (side, side)) > np.log(limits["mask"] / (1 - limits["mask"]))
                (left, top), (right, bottom) = (
                    np.clip([corners[i, :2], corners[i, :2] + corners[i, 2:]], 0, side).round().astype(int)
                )
                area = f" {mask[top:bottom, left:right].sum() / scale**2:.0f}"
            print(f"{file} {names[cls[i]]} {conf[i]:.4f} {x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f}{area}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
