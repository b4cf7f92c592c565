"""`python -m tasks.report` writes the report; `--errors` draws every image that got worse, `--comment` prints it in short."""

from tasks.common import stage
from tasks.common.params import Params
from tasks.report import listing, pullrequest, run


def report(params: Params, *, errors: bool, comment: bool) -> None:
    """Write the report, the list of the images that got worse, or a comment on a pull request."""
    if errors:
        listing.run(params)
    elif comment:
        pullrequest.run(params)
    else:
        run(params)


if __name__ == "__main__":
    stage.main(report, flags={"errors": "writes runs/errors.html instead", "comment": "prints a comment instead"})
