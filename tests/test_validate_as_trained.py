"""An image is judged as training decodes it, and one that training would read otherwise is named."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tasks.validate import as_trained
from tasks.validate.picture import read_picture
from tests import validate_data
from tests.validate_data import SQUARE, check, draw, failing

data = validate_data.data
RNG = np.random.default_rng(0)
COLOURS = Image.fromarray(RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8))


def ramp(high: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, high, shape or (40, 50)).astype(np.uint16)


def pillow(mode: str, **options: object) -> Callable[[Path], object]:
    return lambda file: COLOURS.convert(mode).save(file, **options)


def array(pixels: np.ndarray) -> Callable[[Path], object]:
    return lambda file: cv2.imwrite(str(file), pixels)


KINDS: dict[str, tuple[str, Callable[[Path], object], str | None]] = {
    "png": ("a.png", pillow("RGB"), None),
    "jpeg": ("a.jpg", pillow("RGB"), None),
    "cmyk jpeg": ("a.jpg", pillow("CMYK"), None),
    "grey jpeg": ("a.jpeg", pillow("L"), None),
    "palette": ("a.png", pillow("P"), None),
    "alpha": ("a.png", pillow("RGBA"), None),
    "one bit": ("a.bmp", pillow("1"), None),
    "webp": ("a.webp", pillow("RGB"), None),
    "webp of frames": ("a.webp", pillow("RGB", save_all=True, append_images=[COLOURS]), None),
    "cmyk tiff": ("a.tif", pillow("CMYK"), None),
    "lab tiff": ("a.tif", pillow("LAB"), None),
    "grey tiff of pages": ("a.tiff", pillow("L", save_all=True, append_images=[COLOURS.convert("L")]), None),
    "colour tiff of pages": ("a.tiff", pillow("RGB", save_all=True, append_images=[COLOURS]), None),
    "tiff with alpha": ("a.TIF", pillow("RGBA"), None),
    "fax": ("a.tif", pillow("1", compression="group4"), None),
    "zstd tiff": ("a.tif", pillow("RGB", compression="zstd"), "training cannot decode it"),
    "float tiff": ("a.tif", pillow("F"), "training cannot decode it"),
    "32-bit tiff": ("a.tif", pillow("I"), "training cannot decode it"),
    "16 bits": ("a.png", array(ramp(65_536)), None),
    "16-bit tiff": ("a.tif", array(ramp(65_536)), None),
    "16-bit colours": ("a.png", array(ramp(65_536, 40, 50, 3)), None),
    "12 bits": ("a.png", array(ramp(4096)), None),
    "10-bit colours": ("a.tif", array(ramp(1024, 40, 50, 3)), None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_decoded_as_training_decodes_it(tmp_path: Path, kind: str) -> None:
    from ultralytics.utils.patches import imread

    name, write, refused = KINDS[kind]
    file = tmp_path / name
    write(file)
    if not file.stat().st_size:
        pytest.skip("this Pillow does not write it")
    trained = imread(str(file))

    pixels = as_trained.decode(file.read_bytes(), file.suffix.lower(), "")  # not as a JPEG, which is decoded at an eighth

    assert np.array_equal(pixels, np.empty((0, 0, 3)) if trained is None else trained)
    error = read_picture(file).read_error
    assert (error is None) if refused is None else (refused in (error or ""))
    if trained is not None and trained.ndim == 3:
        assert read_picture(file).brightness == pytest.approx(cv2.cvtColor(trained, cv2.COLOR_BGR2GRAY).mean(), abs=12)


@pytest.mark.parametrize(
    ("pixels", "seen"),
    [
        pytest.param(ramp(4096), "training sees 0 to 15 of 255", id="12 bits"),
        pytest.param(ramp(1024, 40, 50, 3), "training sees 0 to 3 of 255", id="10-bit colours"),
        pytest.param(ramp(256), "training sees 0 to 0 of 255", id="8 bits in 16"),
        pytest.param(ramp(65_536), None, id="all of 16 bits"),
        pytest.param(np.full((40, 50), 30_000, np.uint16), None, id="one value"),
        pytest.param(RNG.integers(100, 110, (40, 50)).astype(np.uint8), None, id="8 bits of low contrast"),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_of_16_bits_of_which_training_sees_next_to_nothing_is_named(
    tmp_path: Path, pixels: np.ndarray, seen: str | None, suffix: str
) -> None:
    cv2.imwrite(str(file := tmp_path / f"a{suffix}"), pixels)

    problem = read_picture(file).depth_problem

    assert (problem is None) if seen is None else problem is not None and seen in problem


@pytest.mark.slow
def test_dark_16_bits_and_floats_stop_the_stage(data: Path) -> None:
    for name, write in {"deep.png": array(ramp(4096, 64, 64)), "float.tif": pillow("F")}.items():
        write(data / "images/train" / name)
        (data / "labels/train" / name).with_suffix(".txt").write_text(SQUARE)

    found = failing(check())

    assert found["image-unreadable"] == [
        "images/train/float.tif: training cannot decode it: OpenCV does not read this kind (TIFF, F)"
    ]
    assert found["sixteen-bits"][0].startswith("images/train/deep.png: 16 bits from ")


@pytest.mark.slow
def test_a_label_file_of_two_images_stops_the_stage(data: Path) -> None:
    draw(data / "images/train/1.png", 88)
    draw(data / "images/train/5.png", 89)
    draw(data / "images/train/5.jpg", 90)  # without a label file nothing is shared

    report = check()

    assert not report["passed"]
    assert failing(report)["label-of-two-images"] == [
        "images/train/1.jpg: the same label file as images/train/1.png",
        "images/train/1.png: the same label file as images/train/1.jpg",
    ]
