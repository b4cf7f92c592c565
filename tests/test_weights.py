"""Weights are looked at before torch unpickles them, and what a YOLO checkpoint does not need is refused by name."""

from __future__ import annotations

import ast
import builtins
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.common import checkpoint
from tasks.common.errors import WeightsError
from tasks.common.weights import require_weights
from tests.checkpoints import MODEL, archive, op

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "weights"


class Call:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def refusal(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(WeightsError) as refused:
        require_weights(archive(tmp_path / "evil.pt", content))
    return refused.value.what


CONV = b"ctorch.nn.modules.conv\nConv2d\n"
REBUILD = b"ctorch._utils\n_rebuild_parameter\n"
RAW = {
    "a name put together on the stack": (op("posix", "system", b"\x93", "true", b"\x85R"), "it asks for posix.system"),
    "a name from the memo": (
        op("os", b"q\x00", b"0", "system", b"q\x01", b"0", b"h\x00h\x01\x93", "true", b"\x85R"),
        "it asks for os.system",
    ),
    "a dotted name in a module of layers": (
        op("torch.nn.modules.conv", "torch.os.system", b"\x93", "true", b"\x85R"),
        "it asks for torch.nn.modules.conv.torch.os.system",
    ),
    "a function in a module of layers": (
        op(b"cultralytics.nn.tasks\ntorch_safe_load\n", "other.pt", b"\x85R"),
        "it asks for ultralytics.nn.tasks.torch_safe_load",
    ),
    "INST": (b"(Vtrue\nios\nsystem\n.", "it asks for os.system"),
    "an instance of another class": (op(b"csubprocess\nPopen\n", "true", b"\x85\x81"), "it asks for subprocess.Popen"),
    "a storage": (
        op(b"(", "storage", b"cos\nsystem\n", "true", b"\x85R", "0", "cpu", b"K\x01tQ"),
        "it asks for os.system",
    ),
    "eval by getattr": (op(b"c__builtin__\ngetattr\n", b"c__builtin__\n__import__\n"), "it asks for builtins.__import__"),
    "getattr of a class": (
        op(b"c__builtin__\ngetattr\n", MODEL, "__init__", b"\x86R"),
        "it calls builtins.getattr(..., '__init__')",
    ),
    "the network called with a description": (
        op(MODEL, b"}", "activation", "__import__('os').system('true')", b"s\x85R"),
        "it calls ultralytics.nn.tasks.SegmentationModel(...)",
    ),
    "the network made with arguments": (
        op(MODEL, "a.yaml", b"\x85\x81"),
        "it calls ultralytics.nn.tasks.SegmentationModel('a.yaml')",
    ),
    "an activation that is a program": (
        op(MODEL, b")\x81}", "yaml", b"}", "activation", "__import__('os').system('true')", b"ssb"),
        "its network's activation is \"__import__('os').system('true')\"",
    ),
    "an activation added after the network was filled": (
        op(MODEL, b")\x81}", "yaml", b"}q\x00sb", b"h\x00", "activation", "print()", b"s0"),
        "its network's activation is 'print()'",
    ),
    "a layer that is a function": (
        op(MODEL, b")\x81}", "yaml", b"}", "head", b"](]J\xff\xff\xff\xffaK\x01", "check_requirements", b"]tassb").replace(
            b"](]J\xff\xff\xff\xffaK\x01", b"](K\x00K\x01"
        ),
        "its network has the layer 'check_requirements'",
    ),
    "a hook on a layer": (
        op(CONV, b")\x81}", "_forward_pre_hooks", b"}K\x00", CONV, b"ssb"),
        "it registers _forward_pre_hooks on torch.nn.modules.conv.Conv2d",
    ),
    "a hook on a tensor, added later": (
        op(REBUILD, b"N\x89", b"ccollections\nOrderedDict\n)Rq\x00", b"\x87R", b"0h\x00K\x00", CONV, b"s"),
        "it registers a hook on a tensor",
    ),
    "a call of a layer's forward": (
        op(b"c__builtin__\ngetattr\n", CONV, "forward", b"\x86R)R"),
        "it calls a layer's forward()",
    ),
    "a description that is none": (
        op(MODEL, b")\x81}", "yaml", b"}", "head", b"K\x01ssb"),
        "its pickle is broken: TypeError: Value after * must be an iterable, not int",
    ),
    "a changed class": (
        op(CONV, b"}b"),
        "it changes torch.nn.modules.conv.Conv2d",
    ),
    "a changed function": (op(REBUILD, b"}b"), "it changes torch._utils._rebuild_parameter"),
    "an extension code": (op(b"\x82\x01"), "its pickle is broken: ValueError: unregistered extension code 1"),
    "half a pickle": (op("model")[:-4], "its pickle is broken: UnpicklingError: pickle data was truncated"),
}


class TestAProgramInAPickle:
    @pytest.mark.parametrize(
        ("call", "name"),
        [
            (Call(os.system, "touch done"), f"{os.system.__module__}.system"),
            (Call(subprocess.check_output, ["touch", "done"]), "subprocess.check_output"),
            (Call(builtins.eval, "open('done', 'w')"), "builtins.eval"),
            (Call(getattr, Call(__import__, "os"), "system"), "builtins.__import__"),
            (Call(shutil.rmtree, "nothing-here"), "shutil.rmtree"),
        ],
        ids=["os", "subprocess", "eval", "getattr", "shutil"],
    )
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_is_refused_by_name_and_does_not_run(
        self, call: Call, name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        contents = [call, {"model": None, "train_args": {"seed": call}}, {call: 1}, [(1, [call])]]

        messages = {refusal(tmp_path, pickle.dumps(content, protocol)) for content in contents}

        assert messages == {f"not loaded, as it asks for {name}"}
        assert not Path("done").exists()

    @pytest.mark.parametrize(("content", "message"), RAW.values(), ids=RAW.keys())
    def test_in_raw_opcodes_is_refused_by_name(self, content: bytes, message: str, tmp_path: Path) -> None:
        assert refusal(tmp_path, content) == f"not loaded, as {message}"


class TestAnArchive:
    def test_of_torch_save_with_what_a_checkpoint_holds_is_accepted(self, tmp_path: Path) -> None:
        require_weights(
            archive(tmp_path / "good.pt", op(MODEL, b")\x81}", "yaml", b"}", "activation", "nn.LeakyReLU(0.1)", b"ssb"))
        )

    def test_with_two_pickles_of_one_name_is_refused(self, tmp_path: Path) -> None:
        file = archive(tmp_path / "two.pt", op(b"N"))
        with zipfile.ZipFile(file, "a") as more, pytest.warns(UserWarning, match="Duplicate"):
            more.writestr("weights/data.pkl", op(b"N"))

        with pytest.raises(WeightsError, match="can be read in two ways"):
            require_weights(file)

    def test_with_a_second_directory_is_refused(self, tmp_path: Path) -> None:
        """Python finds the last directory by its place, torch by the offset that the file states."""
        good, evil = archive(tmp_path / "good.pt", op(b"N")), archive(tmp_path / "evil.pt", pickle.dumps(Call(os.system, "true")))
        both = tmp_path / "both.pt"
        both.write_bytes(evil.read_bytes() + good.read_bytes())
        assert zipfile.is_zipfile(both)

        with pytest.raises(WeightsError, match="can be read in two ways"):
            require_weights(both)

    @pytest.mark.parametrize("name", ["weights/constants.pkl", "other/data.pkl", "weights/sub/data.pkl", "weights/DATA.PKL"])
    def test_with_another_pickle_beside_is_refused(self, name: str, tmp_path: Path) -> None:
        file = archive(tmp_path / "more.pt", op(b"N"))
        with zipfile.ZipFile(file, "a") as more:
            more.writestr(name, op(b"N"))

        with pytest.raises(WeightsError, match=r"two ways|another archive"):
            require_weights(file)

    def test_of_gigabytes_is_refused_unread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint, "MAX_PICKLE_BYTES", 10)

        assert refusal(tmp_path, op("x" * 20)) == "not loaded, as its pickle is larger than 10 bytes"

    @pytest.mark.parametrize(
        ("place", "message"),
        [(b"N.", "its archive is broken"), (b"PK\1\2", "not a PyTorch checkpoint")],
        ids=["contents", "directory"],
    )
    def test_with_a_wrong_byte_is_refused(self, place: bytes, message: str, tmp_path: Path) -> None:
        file = archive(tmp_path / "broken.pt", op(b"N"))
        file.write_bytes(file.read_bytes().replace(place, b"X" + place[1:]))

        with pytest.raises(WeightsError, match=message):
            require_weights(file)

    def test_that_is_a_bare_pickle_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "legacy.pt"
        file.write_bytes(pickle.dumps({"model": None}))

        with pytest.raises(WeightsError, match="not a PyTorch checkpoint"):
            require_weights(file)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the checkpoints lie beside the repository, where there are any")
@pytest.mark.parametrize("name", ["yolov8n-int8recon.pt", "yolov8n-seg-int8recon.pt"])
def test_a_published_checkpoint_is_accepted(name: str) -> None:
    require_weights(PUBLISHED / name)


def test_the_check_needs_no_torch(tmp_path: Path) -> None:
    file = archive(tmp_path / "good.pt", op(MODEL, b")\x81"))
    program = (
        f"import sys; from tasks.common.weights import require_weights as r; from pathlib import Path; r(Path({str(file)!r})); "
    )

    done = subprocess.run([sys.executable, "-c", program + "sys.exit('torch' in sys.modules)"], check=False)

    assert done.returncode == 0


@pytest.mark.slow
def test_nothing_unpickles_weights_but_behind_the_check() -> None:
    """Whoever adds a call that unpickles has to check the file first, and to add the place here."""
    root = Path(__file__).parents[1]
    calls = {
        f"{file.relative_to(root)}: {ast.unparse(node.func)}"
        for folder in ("tasks", "flows")
        for file in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and re.search(
            r"(^|\.)(YOLO|RTDETR|torch_load|strip_optimizer|torch_safe_load|load_checkpoint)$|^(torch|pickle|joblib)\.loads?$",
            ast.unparse(node.func),
        )
        and not any(key.arg == "weights_only" and ast.unparse(key.value) == "True" for key in node.keywords)
    }

    ours = "tasks/common/cluster.py: pickle.loads"  # no file: what a stage and its own tasks of Ray send each other
    assert calls == {"tasks/measure/yolo.py: YOLO", "tasks/train/result.py: strip_optimizer", ours}


@pytest.mark.slow
class TestWithTorch:
    def test_a_network_of_this_ultralytics_is_accepted_and_loads(self, tmp_path: Path) -> None:
        from tasks.measure import yolo

        yolo.prepare()
        made = yolo.load(Path("models/tiny-seg.yaml"))
        made.save(tmp_path / "made.pt")

        loaded = yolo.load(tmp_path / "made.pt")

        assert yolo.tensors_digest(loaded.model) == yolo.tensors_digest(made.model.half().float())

    @pytest.mark.parametrize(
        "call", [Call(os.system, "touch done"), Call(builtins.eval, "open('done', 'w')")], ids=["os", "eval"]
    )
    def test_a_checkpoint_that_runs_a_command_is_refused_by_both_doors(
        self, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch
        from ultralytics import YOLO

        from tasks.measure import yolo

        yolo.prepare()
        made = YOLO("models/tiny-seg.yaml", verbose=False)
        torch.save({"model": made.model, "train_args": {"seed": call}}, tmp_path / "evil.pt")
        monkeypatch.chdir(tmp_path)

        with pytest.raises(WeightsError, match="it asks for"):
            yolo.load(Path("evil.pt"))
        with pytest.raises(TypeError, match="outside the supported"):  # Ultralytics' own loads, of last.pt for example
            YOLO("evil.pt", verbose=False)
        assert not Path("done").exists()

    def test_the_command_would_run_without_the_check(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        monkeypatch.chdir(tmp_path)
        torch.save({"model": Call(os.system, "touch done")}, "evil.pt")

        torch.load("evil.pt", weights_only=False)

        assert Path("done").exists()

    def test_a_script_module_is_refused(self, tmp_path: Path) -> None:
        import torch

        torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "script.pt"))

        with pytest.raises(WeightsError, match="another archive"):
            require_weights(tmp_path / "script.pt")

    def test_torch_before_its_archives_is_refused(self, tmp_path: Path) -> None:
        import torch

        buffer = io.BytesIO()
        torch.save({"model": None}, buffer, _use_new_zipfile_serialization=False)
        (tmp_path / "old.pt").write_bytes(buffer.getvalue())

        with pytest.raises(WeightsError, match="not a PyTorch checkpoint"):
            require_weights(tmp_path / "old.pt")
