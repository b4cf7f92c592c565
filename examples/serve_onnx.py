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
    scale = min(side / image.shape[0], side / image.shape[1])
    w, h = round(image.shape[1] * scale), round(image.shape[0] * scale)
    left, top = round((side - w) / 2 - 0.1), round((side - h) / 2 - 0.1)
    square = cv2.copyMakeBorder(cv2.resize(image, (w, h)), top, side - h - top, left, side - w - left, 0, value=[114] * 3)
    return square[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255, scale, np.array([left, top] * 2)


def objects(output, card):
    """Corners (N, 4) in the input, class, confidence and mask coefficients of the objects, the surest first."""
    limits, num = card["thresholds"], len(card["names"])
    least = np.array([limits["conf"][name] for name in card["names"]])
    if card["output"]["end2end"]:  # a row an object: corners, confidence, class, mask coefficients
        rows = output[output[:, 4] >= least[output[:, 5].astype(int)]][: limits["max_det"]]
        return rows[:, :4], rows[:, 5].astype(int), rows[:, 4], rows[:, 6:]
    cls, conf = output[4 : 4 + num].argmax(0), output[4 : 4 + num].max(0)
    rows, cls, conf = (part[conf >= least[cls]] for part in (output.T, cls, conf))  # a column of output is a cell:
    box = np.c_[rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]]  # it has centre, size, scores, mask coefficients
    kept = list(cv2.dnn.NMSBoxesBatched(box.tolist(), conf.tolist(), cls.tolist(), 0.0, limits["iou"]))[: limits["max_det"]]
    return np.c_[box[kept, :2], box[kept, :2] + box[kept, 2:]], cls[kept], conf[kept], rows[kept, 4 + num :]


def main(folder, files):
    if not (network := Path(folder) / "onnx/model.onnx").is_file():
        sys.exit(f"{network}: no such file; it comes with `onnx` in export.formats")
    card = json.loads((Path(folder) / "card.json").read_text())
    session, side, mask = onnxruntime.InferenceSession(network), card["imgsz"], card["thresholds"]["mask"]
    for file in files:
        if (image := cv2.imread(file)) is None:
            sys.exit(f"{file}: not an image that can be read")
        chw, scale, origin = letterbox(image, side)
        output, *prototypes = session.run(None, {"images": chw})
        for box, cls, conf, coefficients in zip(*objects(output[0], card), strict=True):
            words = [f"{v:.1f}" for v in np.clip((box - origin) / scale, 0, image.shape[1::-1] * 2)]
            if prototypes:
                pixels = cv2.resize(np.tensordot(coefficients, prototypes[0][0], 1), (side, side)) > np.log(mask / (1 - mask))
                left, top, right, bottom = np.clip(box, 0, side).round().astype(int)
                words.append(f"{pixels[top:bottom, left:right].sum() / scale**2:.0f}")
            print(file, card["names"][cls], f"{conf:.4f}", *words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:]) if len(sys.argv) > 2 else sys.exit(__doc__)
