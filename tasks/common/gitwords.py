"""What to do where git refuses: the step that fits the words of git and of the server behind a remote.

The words are those of git 2.30 to 2.50, GitHub (GH0nn codes), GitLab, Gitea, Forgejo, Bitbucket, Gitolite and OpenSSH.
"""

from __future__ import annotations

import re

LOCKED = re.compile(r"Unable to create '(?P<file>[^']+\.lock)': File exists")
"""Another git holds a ref, or one died and left its lock file."""
IN_THE_WAY = re.compile(r"'refs/tags/(?P<other>[^']+)' exists; cannot create 'refs/tags/(?P<tag>[^']+)'")
"""A tag whose name is a folder of the other's name."""

_HERE = (
    (LOCKED, "If no git is at work here, one died and left its lock: remove {file} and run again."),
    (IN_THE_WAY, "The tag {other} keeps the name from {tag}: remove it with `git tag -d {other}`, and run again."),
    (
        r"aborted by (the reference-transaction )?hook|reference-transaction|cannot run \S*hooks?/",
        "A hook of this repository refuses: see `git rev-parse --git-path hooks` and `git config core.hooksPath`, or let whom it "
        "allows make the tag.",
    ),
    (r"No space left|Disk quota exceeded", "Free space on the disk that holds .git, and run again."),
    (r"Read-only file system", "The disk of .git is mounted read-only: run where it can be written."),
    (r"open\(.*\): Permission denied", "Let this user read the file that git names (`ls -l` shows who may), and run again."),
    (
        r"Permission denied|insufficient permission|Operation not permitted",
        "Give yourself the right to write in .git (`ls -ld .git .git/refs/tags`; `lsattr -d` shows what is immutable).",
    ),
    (
        r"is corrupt|is empty|bad object|unable to (read|unpack)|nonexistent object|inflate|not a valid object"
        r"|missing \w+ object",
        "Git's store is damaged: run `git fsck`, remove the object that it names, and fetch from the remote or clone again.",
    ),
    (r"dubious ownership", "Run the command that git names, or work as the owner of the folder."),
)

_THERE = (
    (
        r"Could not resolve host(name)?|Name or service not known",
        "No such host: check the address in `git remote -v`, DNS and VPN.",
    ),
    (
        r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED",
        "The host's key is not the known one: compare it with what the host publishes, then connect once by hand (`ssh HOST`).",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "The server knows none of your SSH keys: see `ssh-add -l`, add one.",
    ),
    (
        r"(SSL|server) certificate|certificate verif|CAfile",
        "The server's certificate is not trusted: name its authority in `git config http.sslCAInfo`.",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|HTTP Basic: Access denied"
        r"|Invalid (username|credentials)|error: 401",
        "Log in: give git a token that may write, through a credential helper (`git config credential.helper`) or SSH.",
    ),
    (
        r"verified signature|must be signed|not signed|unsigned|signing key|GPG key|requires? (a )?sign"
        r"|signature (is )?required|--signed push",
        "The server wants signatures: set up a signing key (`git config user.signingKey`) that it knows, or let its owner except "
        "these tags.",
    ),
    (
        r"GH001|file size|size limit|too large|exceed\w* .*(size|limit|quota)|(over|above) (its|the|your) .*quota"
        r"|quota (is )?exceeded|No space left|Disk quota|maximum allowed size|storage limit|error: 413|HTTP 413",
        "The server has no room for it: raise its limit or quota, or free space there; large files belong to DVC, not to git.",
    ),
    (
        r"GH006|GH013|protected|rule violations|being restricted|not allowed to (create|push|update|change).*tag|tag protection"
        r"|tag_protect",
        "The server protects such tags: let its owner allow you to create tags NAME@* and NAME#*, or publish from where it is "
        "allowed.",
    ),
    (
        r"Permission to .* denied|denied to|error: 403|HTTP 403|not allowed to (push|upload|write)|permission denied for writing"
        r"|DENIED by|Write access|read[- ]only|deploy key|pull-only|archived|insufficient permission|unable to create temporary"
        r"|Permission denied",
        "You may read there and not write: ask the owner of the remote for the right to push tags.",
    ),
    (IN_THE_WAY, "The tag {other} on the remote keeps the name from {tag}: let its owner remove {other} there."),
    (LOCKED, "A lock stayed on the server for too long: if no push is under way, let its owner remove {file}."),
    (r"hidden ref|hideRefs", "The server hides such tags (transfer.hideRefs): let its owner show them."),
    (r"shallow update not allowed", "This clone is shallow: run `git fetch --unshallow`, and run again."),
    (r"would clobber existing tag", "Tags differ between here and there: see `python -m tasks.registry verify`."),
    (
        r"fsck error|unpacker error|unpack failed|index-pack",
        "The server refuses the objects: run `git fsck` here, and show its owner the lines above.",
    ),
    (
        r"hook declined|aborted by hook|GL-HOOK-ERR|pre-receive|hook",
        "A hook of the server refuses: do what its words above say, or ask the owner of the remote.",
    ),
    (
        r"not appear to be a git repository|[Rr]epository .*not found|not found|could not be found|error: 404|does not exist",
        "No such repository, or you may not see it: check the address in `git remote -v` and your access.",
    ),
    (r"not support --atomic", "The server cannot take several tags in one step: update its git."),
    (
        r"Connection (refused|reset|timed out|closed)|timed out|Failed to connect|Couldn't connect|unreachable|No route to host"
        r"|error: 5\d\d|hung up|early EOF|disconnect",
        "The remote does not answer: check the network and that the server runs, and run again.",
    ),
)


def fix_here(words: str) -> str:
    """The next step where git refused something in this repository."""
    return _fix(words, _HERE, "Mend what git says, and run again.")


def fix_there(words: str) -> str:
    """The next step where a git remote refused or did not answer."""
    return _fix(words, _THERE, "Check `git remote -v` and your access, and run again.")


def _fix(words: str, table: tuple[tuple[str | re.Pattern[str], str], ...], otherwise: str) -> str:
    for pattern, fix in table:
        if match := re.search(pattern, words):
            return fix.format(**{key: value.strip() for key, value in match.groupdict().items()})
    return otherwise


def short(words: str, num_chars: int = 1500) -> str:
    """Git's words without the marks of its channels: `remote: `, empty lines and trailing blanks."""
    lines = [line.removeprefix("remote: ").strip() for line in words.splitlines()]
    return "\n".join(dict.fromkeys(line for line in lines if line and line != "remote:"))[:num_chars]
