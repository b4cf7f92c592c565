"""`python -m tasks.watch`."""

from tasks import watch
from tasks.common import stage

if __name__ == "__main__":
    stage.main(watch.run)
