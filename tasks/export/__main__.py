"""`python -m tasks.export`"""

from tasks.common import stage
from tasks.export import run

stage.main(run)
