"""`python -m tasks.gate`."""

from tasks.common import stage
from tasks.gate import run

if __name__ == "__main__":
    stage.main(run)
