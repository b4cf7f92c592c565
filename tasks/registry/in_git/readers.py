"""Whether a fresh clone finds the weights: it reads the git remote, and the DVC remote that its .dvc/config names."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tasks.common import git
from tasks.registry import objects
from tasks.registry.in_git.tags import Tags, refusal
from tasks.registry.record import Version
from tasks.registry.types import Audit

log = logging.getLogger(__name__)


def check(tags: Tags, audit: Audit, versions: tuple[Version, ...]) -> None:
    """Fetch the weights of each version as a fresh clone would, hash the bytes, and say from where they came.

    They are read from the DVC remote that the default branch of the git remote names, past every cache.
    """
    if not tags.is_shared():
        return
    remote = tags.remote
    published_remote = objects.default_remote(_published_head(remote))
    local_remote = objects.default_remote("HEAD")
    what = f"the DVC remote that a fresh clone of {remote} reads, in its .dvc/config"
    if published_remote is None or audit.settings.default_remote != published_remote[0]:
        published_name = f"{published_remote[0]}" if published_remote else "none: commit .dvc/config and push it"
        for version in versions:
            audit.expect(version, what, str(audit.settings.default_remote), published_name)
        return
    if local_remote and local_remote != published_remote:
        log.warning(
            "the DVC remote of %s is %s, here it is %s: push .dvc/config, or pull it",
            remote,
            published_remote[1],
            local_remote[1],
        )
    read = []
    for version in (version for version in versions if version.record):
        assert version.record
        remote_md5 = on_remote(audit, version.record.md5)
        if remote_md5 is None and audit.cached(version.record.md5):  # other bytes, or none anywhere, are a fault already
            place = f"{version.record.weights} as a fresh clone of {remote} fetches it"
            audit.expect(version, place, version.record.md5, "nothing")
        read += [version.version] if remote_md5 == version.record.md5 else []
    if read:
        log.info("a fresh clone of %s fetches %s from the DVC remote %s (%s)", remote, ", ".join(read), *published_remote)
    for text in advice(versions):
        log.warning(text)


def advice(versions: Iterable[Version]) -> list[str]:
    """A sentence for each version whose commit names another DVC remote than today's: the command that still gets it."""
    today = objects.default_remote("HEAD")
    if today is None:
        return []
    return [
        f"{version.tag}: its commit names {'no DVC remote' if then is None else f'the DVC remote {then[1]}'}, so that DVC's own "
        f"command needs today's: dvc artifacts get . {version.name} --rev {version.version} -o best.pt --config .dvc/config"
        for version in versions
        if (then := objects.default_remote(version.commit)) != today
    ]


def on_remote(audit: Audit, md5: str) -> str | None:
    """The MD5 of what a DVC remote keeps under the name `md5`; it is read once. None where none keeps it."""
    place = f"DVC remote {md5}"
    if place not in audit.known:
        audit.known[place] = objects.remote_md5(md5) or ""
    return audit.known[place] or None


def _published_head(remote: str) -> str:
    """The commit of the default branch of the git remote, which is fetched where it is not here."""
    result = git.attempt("ls-remote", remote, "HEAD")
    if result.returncode != 0:
        raise refusal(remote, result.stderr)
    head = result.stdout.partition("\t")[0]
    if head and git.attempt("cat-file", "-e", f"{head}^{{commit}}").returncode != 0:
        git.attempt("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, "HEAD")
    return head or "HEAD"
