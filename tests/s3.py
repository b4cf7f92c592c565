"""moto's server, which speaks S3's API over HTTP and checks signatures, and a line to it that a test can cut."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from tests import workspace as ws
from tests.api import free_port
from tests.deployed import wait_for

BUCKET = "store"
ALLOWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
CHUNK = 2**16


@dataclass(frozen=True)
class Key:
    """What a user of S3 logs in with."""

    access_key_id: str
    secret_access_key: str


class S3:
    """The server, with a bucket that one key may use and another one may not."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.require_login(False)
        self.client("s3", Key("setting", "up")).create_bucket(Bucket=BUCKET)
        self.key, self.other_key = self._user("ada", ALLOWED), self._user("eve", None)
        self.require_login(True)

    def client(self, service: str, key: Key) -> Any:
        import boto3

        session = boto3.session.Session(key.access_key_id, key.secret_access_key, region_name="us-east-1")
        return session.client(service, endpoint_url=self.url)

    def require_login(self, wanted: bool) -> None:
        """Whether the server checks who calls, and what they may do; it begins without."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content="0" if wanted else "inf").raise_for_status()

    def _user(self, name: str, policy: dict[str, Any] | None) -> Key:
        client = self.client("iam", Key("setting", "up"))
        client.create_user(UserName=name)
        if policy:
            client.put_user_policy(UserName=name, PolicyName="store", PolicyDocument=json.dumps(policy))
        made = client.create_access_key(UserName=name)["AccessKey"]
        return Key(made["AccessKeyId"], made["SecretAccessKey"])

    def objects(self) -> dict[str, bytes]:
        """{name: content} of what the bucket keeps."""
        client = self.client("s3", self.key)
        names = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {name: client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}

    def empty(self) -> None:
        """Delete what the bucket keeps."""
        for name in self.objects():
            self.client("s3", self.key).delete_object(Bucket=BUCKET, Key=name)


@contextmanager
def serving(folder: Path) -> Iterator[S3]:
    """The server, for as long as the block runs."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:

            def answers() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0

            wait_for("moto's server", answers, 120)
            yield S3(port)
        finally:
            process.terminate()
            process.wait(timeout=30)


class Line:
    """A port that leads to another one until so many bytes have come through in one direction; then it does what a test wants."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.was_cut = False
        self._listener: socket.socket | None = None
        self._ends: set[socket.socket] = set()
        self.mend()

    def mend(self) -> None:
        """Let everything through."""
        self._left, self._way, self._act = float("inf"), "", self.cut
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def after(self, num_bytes: int, way: Literal["there", "back"], act: Callable[[], None] | None = None) -> None:
        """Call `act`, by default `cut`, when that many more bytes have gone `there` or come `back`; those after them are lost."""
        self.was_cut = False
        self._left, self._way, self._act = num_bytes, way, act or self.cut

    def cut(self) -> None:
        """End every connection and take no new one, as a server does that was killed."""
        if listener := self._listener:
            self._listener = None
            for end in (listener, *self._ends):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, there = listener.accept()[0], socket.create_connection(("127.0.0.1", self.target))
                self._ends |= {here, there}
                for ends in ((here, there, "there"), (there, here, "back")):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if way == self._way:
                    self._left -= len(data)
                if self._left < 0:
                    if not self.was_cut:
                        self.was_cut = True
                        self._act()
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def name_remote(root: Path, endpoint: str, bucket: str = BUCKET) -> None:
    """A DVC remote as a team has it: the address in .dvc/config, which is committed."""
    lines = [
        "[core]",
        "    remote = store",
        "['remote \"store\"']",
        f"    url = s3://{bucket}/here",
        f"    endpointurl = {endpoint}",
    ]
    (root / ".dvc/config").write_text("\n".join([*lines, ""]))
    ws.sh("git", "commit", "-qam", "Name the DVC remote", cwd=root)


def give_key(root: Path, key: Key | None) -> None:
    """What `dvc remote modify --local` writes: .dvc/config.local is this machine's own, and git ignores it."""
    pairs = {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key} if key else {}
    lines = ["['remote \"store\"']", *(f"    {name} = {value}" for name, value in pairs.items())]
    (root / ".dvc/config.local").write_text("\n".join([*lines, ""]))
