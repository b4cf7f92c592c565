"""`python -m tasks.report` writes the report; with `--errors` it draws every image that got worse, in runs/errors.html."""

from tasks.common import stage
from tasks.common.params import Params
from tasks.report import listing, run


def report(params: Params, *, errors: bool) -> None:
    """Write the report, or the list of the images that got worse."""
    if errors:
        listing.run(params)
    else:
        run(params)


if __name__ == "__main__":
    stage.main(report, flags={"errors": "writes runs/errors.html instead"})
