"""`python -m tasks.review`."""

from tasks.common import stage
from tasks.review import run

if __name__ == "__main__":
    stage.main(run)
