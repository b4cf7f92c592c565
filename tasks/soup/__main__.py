"""`python -m tasks.soup`"""

from tasks.common import stage
from tasks.soup import run

stage.main(run)
