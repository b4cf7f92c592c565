"""What may exist and is not known in this clone: "there is none" and "none is known here" are different answers."""

from __future__ import annotations

from tasks.common import git
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry.in_git.tags import refs_here, refs_there, wrong_remote


def doubt(params: Params) -> str:
    """Why the remote may know more than this clone, and the command that tells; empty where nothing says so.

    The remote is asked where this clone knows no tag or is shallow.
    """
    remote, name = params.registry.git_remote, params.registry.name
    if other := wrong_remote(params):
        return other
    if not git.has_remote(remote):
        return ""
    here = refs_here(params)
    is_shallow = git.attempt("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    if here and not is_shallow:
        return ""
    try:
        missing = refs_there(params).keys() - here.keys()
    except RegistryError as error:
        return f"{remote} cannot be asked for tags of {name} ({error.what.splitlines()[-1]}): run `git fetch --tags {remote}`"
    if not missing:
        return ""
    return f"{remote} has tags of {name} that are not here ({len(missing)}): run `git fetch --tags {remote}`"
