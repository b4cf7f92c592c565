"""`python -m tasks.evaluate`"""

from tasks.common import stage
from tasks.evaluate import run

stage.main(run)
