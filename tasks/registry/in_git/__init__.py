"""The backend git: versions are tags that GTO, DVC and plain git can read, so that no server is needed."""

from tasks.registry.in_git.register import Registrar
from tasks.registry.in_git.stages import Stages
from tasks.registry.in_git.verify import Checks
from tasks.registry.in_git.versions import Reader
from tasks.registry.in_git.weights import Files


class GitBackend(Reader, Registrar, Stages, Files, Checks):
    """Versions as tags of this clone and of the git remote; their weights are where DVC keeps them."""

    HOLDER = "the commit"
    KEEPS_WEIGHTS = False
