"""`python -m tasks.report`."""

from tasks.common import stage
from tasks.report import run

if __name__ == "__main__":
    stage.main(run)
