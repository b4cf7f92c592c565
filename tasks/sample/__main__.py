"""`python -m tasks.sample`."""

from tasks.common import stage
from tasks.sample import run

if __name__ == "__main__":
    stage.main(run)
