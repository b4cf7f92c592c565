"""Whatever lies where weights should be, it is judged soon, in little memory, and told for what it is."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.common.errors import WeightsError
from tasks.common.weights import require_weights
from tests.checkpoints import MODEL, archive, op

NESTED = "not loaded, as its pickle nests more than 100 objects in each other"
SHARED = "not loaded, as its pickle holds more than 10000000 values once all that is shared is written out"
SHORT = "not loaded, as its storage 0 is shorter than the {} numbers that are claimed"
CUT = "not loaded, as its pickle is broken: UnpicklingError: pickle data was truncated"
DOUBLED = b"q\x00h\x00\x86" * 60
NETWORK = MODEL + b")\x81"


def tensor(claimed: int, size: int) -> bytes:
    """A pickle of a tensor of `size` numbers in storage 0, which is said to hold `claimed`."""
    storage = b"(" + b"".join([text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu"), long(claimed)]) + b"tQ"
    rest = b"K\x00" + long(size) + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)R"
    return op(b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, rest, b"tR")


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def long(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def refusal(file: Path) -> WeightsError:
    """How the file is refused, which must be soon."""
    started = time.monotonic()
    with pytest.raises(WeightsError) as refused:
        require_weights(file)
    assert time.monotonic() - started < 20
    assert refused.value.where == str(file)
    assert refused.value.fix
    return refused.value


BOMBS = {
    "tuples": (op(b")", b"\x85" * 300_000), NESTED),
    "tuples that are a key": (op(b"})", b"\x85" * 300_000, b"Ns"), NESTED),
    "lists": (op(b"]" * 2000, b"a" * 1999), NESTED),
    "dicts": (op(b"}" + b"K\x00}" * 300, b"s" * 300), NESTED),
    "layers in layers": (op(NETWORK + (b"}K\x00" + NETWORK) * 200, b"sb" * 200), NESTED),
    "a chain put together late": (op(b"]q\x00" + b"]q\x01h\x00h\x01a00h\x01q\x000" * 300), NESTED),
    "shared tuples": (op(b"K\x01\x85", DOUBLED), SHARED),
    "shared tuples that are a key": (op(b"}K\x01\x85", DOUBLED, b"Ns"), SHARED),
    "shared lists": (op(b"K\x01", b"q\x00]h\x00ah\x00a" * 60), SHARED),
    "a large place in the memo": (op(b"}r\xff\xff\xff\x1f"), "not loaded, as it holds no network"),
    "a large text": (op(b"\x8d" + struct.pack("<Q", 2**40)), CUT),
    "large bytes": (op(b"\x8e" + struct.pack("<Q", 2**62)), CUT),
    "a large frame": (op(b"\x95" + struct.pack("<Q", 2**62), b"N"), CUT),
    "a large number": (op(b"}" + text("a") + b"\x8b" + struct.pack("<i", 9999) + b"\x7f" * 9999 + b"s"),
                       "not loaded, as its pickle holds a whole number of more than 1024 bits"),
    "a storage that is not there": (tensor(10**12, 4), SHORT.format("1e+12")),
    "a tensor beyond its storage": (tensor(0, 10**12), SHORT.format(0)),
    "a network of a million layers": (
        op(NETWORK, b"}", "yaml", b"}", "head", b"](]J\xff\xff\xff\xffa", long(10**6), "Conv", b"]tassb").replace(
            b"](]J\xff\xff\xff\xffa", b"](K\x00"),
        "not loaded, as its network has more than 10000 layers, or 65536 channels in one",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BOMBS.values(), ids=BOMBS.keys())
def test_a_small_pickle_that_grows_is_refused_by_its_limit(content: bytes, message: str, tmp_path: Path) -> None:
    assert refusal(archive(tmp_path / "bomb.pt", content)).what == message


def test_a_tensor_that_repeats_one_number_is_refused(tmp_path: Path) -> None:
    file = archive(tmp_path / "repeated.pt", tensor(4, 10**12))
    with zipfile.ZipFile(file, "a") as more:
        more.writestr("weights/data/0", b"\0" * 16)

    assert refusal(file).what == "not loaded, as a tensor claims 1e+12 numbers, and its storage holds 4"


def test_bytes_that_are_asked_for_and_not_given_meet_the_limit_of_memory(tmp_path: Path) -> None:
    file = archive(tmp_path / "bomb.pt", b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".")

    assert refusal(file).what == "not loaded, as judging it takes more memory than the limit of 1024 MiB"


class TestAnArchive:
    def test_that_would_inflate_is_refused_unread(self, tmp_path: Path) -> None:
        file = tmp_path / "inflates.pt"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("weights/data.pkl", op(NETWORK))
            target.writestr("weights/data/0", b"\0" * 10_000_000)

        assert refusal(file).what == "not loaded, as its archive is compressed, and could grow without limit"

    def test_whose_entries_lie_over_each_other_is_refused(self, tmp_path: Path) -> None:
        file = archive(tmp_path / "overlap.pt", op(NETWORK, "x" * 1000))
        with zipfile.ZipFile(file, "a") as target:
            for i in range(20):
                twin = zipfile.ZipInfo(f"weights/data/{i}")
                first = target.getinfo("weights/data.pkl")
                twin.header_offset, twin.file_size, twin.compress_size, twin.CRC = 0, first.file_size, first.file_size, first.CRC
                target.filelist.append(twin)
            target._didModify = True  # type: ignore[attr-defined]

        assert "entries lie over each other" in refusal(file).what

    def test_that_is_sparse_and_huge_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "sparse.pt"
        with file.open("wb") as target:
            target.truncate(2**40)

        assert refusal(file).what == f"not a PyTorch checkpoint ({2**40} bytes) but nothing but zeros"


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([bytes([code]) for code in b"()]}.NaesubtlRQ0212\x85\x86\x87\x88\x89\x81\x8f\x90\x91\x93\x94"]),
            st.sampled_from([NETWORK, MODEL, b"q\x00", b"h\x00", b"K\x01", text("yaml"), text("model")]),
            st.binary(max_size=6),
        ),
        max_size=40,
    )
)
def test_any_pickle_is_accepted_or_refused(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    file = archive(tmp_path_factory.getbasetemp() / "fuzz.pt", op(*parts))

    with suppress(WeightsError):
        require_weights(file)


CHECKPOINTS = {
    "pose": (
        op(b"}", "model", b"cultralytics.nn.tasks\nPoseModel\n)\x81s"),
        "it holds a PoseModel; expected a DetectionModel or a",
    ),
    "classify": (op(b"}", "ema", b"cultralytics.nn.tasks\nClassificationModel\n)\x81s"), "it holds a ClassificationModel"),
    "oriented boxes": (op(b"}", "model", b"cultralytics.nn.tasks\nOBBModel\n)\x81s"), "it holds a OBBModel"),
    "RT-DETR": (op(b"}", "model", b"cultralytics.nn.tasks\nRTDETRDetectionModel\n)\x81s"), "it holds a RTDETRDetectionModel"),
    "YOLO-World": (op(b"}", "model", b"cultralytics.nn.tasks\nWorldModel\n)\x81s"), "it holds a WorldModel"),
    "YOLOv5's repository": (op(b"}", "model", b"cmodels.yolo\nModel\n)\x81s"), "it asks for models.yolo.Model"),
    "tensors only": (b"\x80\x02}" + text("conv.weight") + tensor(0, 0)[2:-1] + b"s.", "it holds tensors without their network"),
    "an empty dict": (op(b"}"), "it holds no network"),
    "a number": (op(b"K\x01"), "it holds no network but a int"),
}


@pytest.mark.parametrize(("content", "words"), CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
def test_a_checkpoint_of_another_kind_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    file = archive(tmp_path / "other.pt", content)
    with zipfile.ZipFile(file, "a") as more:
        more.writestr("weights/data/0", b"")

    found = refusal(file)

    assert words in found.what
    assert "ask where the file comes from" not in found.fix


FILES = {
    "empty": ("a.pt", b"", "an empty file", "get it again"),
    "Git LFS": (
        "a.pt",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        "a Git LFS pointer",
        "`git lfs pull --include",
    ),
    "a DVC file": ("a.pt", b"outs:\n- md5: abc\n", "a DVC file", "`dvc pull`"),
    "a page": ("a.pt", b"\n<!DOCTYPE HTML><html>", "a page of the web", "Download the file itself"),
    "a text": ("a.pt", b"not found", "a text", "Give a YOLO"),
    "zeros": ("a.pt", b"\0" * 999, "nothing but zeros", "get it again"),
    "before torch 1.6": ("a.pt", pickle.dumps(0x1950A86A20F9469CFC6C, 2), "the format before torch 1.6", "torch.save"),
    "a pickle": ("a.pt", pickle.dumps({"model": 1}), "a bare pickle", "torch.save"),
    "ONNX": ("a.onnx", b"\x08\x0a\x12\x07pytorch\x1a\x052.9.0", "an ONNX model", "Give the .pt"),
    "ONNX named .pt": ("a.pt", b"\x08\x0a\x12\x07pytorch\x1a\x052.9.0", "an ONNX model", "Give the .pt"),
    "TensorRT": ("a.engine", (20).to_bytes(4, "little") + b'{"task": "detect"}..ftrt', "a TensorRT engine", "Give the .pt"),
    "bare TensorRT": ("a.engine", b"ftrt\0\0", "a TensorRT engine", "Give the .pt"),
    "safetensors": ("a.safetensors", (9).to_bytes(8, "little") + b'{"a": {} }', "safetensors", "Give a YOLO"),
    "TFLite": ("a.tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite model", "Give the .pt"),
    "OpenVINO": ("a.xml", b"<?xml version='1.0'?><net>", "an OpenVINO model", "Give the .pt"),
    "gzip": ("a.pt", b"\x1f\x8b\x08", "a gzip archive", "Unpack it"),
    "half an archive": ("a.pt", b"PK\x03\x04" + b"\0" * 99, "an archive that is cut off", "get it again"),
    "noise": ("a.pt", bytes(range(255, 100, -1)), "an unknown format", "Give a YOLO"),
}


@pytest.mark.parametrize(("name", "content", "what", "fix"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_checkpoint_is_told_for_what_it_is(
    name: str, content: bytes, what: str, fix: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    found = refusal(tmp_path / name)

    assert found.what.startswith(f"not a PyTorch checkpoint ({len(content)} bytes) but {what}")
    assert fix in found.fix


def test_a_torchscript_program_is_told_from_a_checkpoint(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.torchscript", op(b"N"))
    with zipfile.ZipFile(file, "a") as more:
        more.writestr("weights/constants.pkl", op(b"N"))
        more.writestr("weights/code/__torch__.py", b"")

    assert "another archive (a TorchScript program, for example)" in refusal(file).what


class TestNoFile:
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.pt")

        assert refusal(tmp_path / "a.pt").what == "not a regular file but a pipe, a socket or a device"

    def test_a_device_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.pt").symlink_to("/dev/zero")

        assert "a device" in refusal(tmp_path / "a.pt").what

    def test_a_socket_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("a.pt")

            assert "a socket" in refusal(Path("a.pt")).what

    def test_a_loop_of_links_is_a_missing_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.pt").symlink_to(tmp_path / "b.pt")
        (tmp_path / "b.pt").symlink_to(tmp_path / "a.pt")

        assert refusal(tmp_path / "a.pt").what == "no such weights file"

    def test_an_openvino_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a_openvino_model").mkdir()
        (tmp_path / "a_openvino_model/a.xml").touch()

        assert refusal(tmp_path / "a_openvino_model").what == "an OpenVINO model, not a checkpoint"

    @pytest.mark.parametrize("tracked", ["models/a.pt", "models"])
    def test_a_file_that_dvc_knows_comes_with_dvc_pull(
        self, tracked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("models").mkdir()
        Path(f"{tracked}.dvc").write_text("outs:\n- path: x\n")

        assert refusal(Path("models/a.pt")).fix == f"Run `dvc pull {tracked}.dvc`."


def test_the_head_of_yolov10_is_a_layer(tmp_path: Path) -> None:
    head = b"cultralytics.nn.modules.head\nv10Detect\n)\x81"

    require_weights(archive(tmp_path / "v10.pt", op(b"}", "model", NETWORK, b"}", "detect", head, b"sbs")))
