"""`python -m tasks.train baseline` and `python -m tasks.train finetune`."""

from tasks.common import stage
from tasks.train import run

if __name__ == "__main__":
    stage.main(run, choices=("baseline", "finetune"))
