"""What to do next where a DVC remote refuses or does not answer, by what it says."""

import re

STEPS = {
    r"Permission denied \(|Host key|PermissionDenied": "Let ssh log in to the remote's host from this machine, and run again.",
    r"NoSuchBucket|bucket.* does not exist": "Make the bucket, or correct the address: `dvc remote list`.",
    r"[Qq]uota|\b507\b(?! file)": "Free space at the DVC remote or have its quota raised, and run again.",
    r"\b40[13]\b(?! file)|Access ?Denied|Forbidden|Unauthorized|InvalidAccessKey|SignatureDoesNotMatch|[Cc]redentials": (
        "The DVC remote refuses this login: check its keys (`dvc remote modify --local`) and what they may do there."
    ),
    r"[Nn]ame (or service|resolution)|getaddrinfo|[Cc]onnect|[Tt]ime(d )?out|unreachable": (
        "The DVC remote cannot be reached: check the network and the address (`dvc remote list`), and run again."
    ),
}
"""The next step by what a DVC remote says; the first that fits. `403 files failed to upload` is no 403."""


def next_step(words: str, otherwise: str) -> str:
    """The next step after a remote said `words`; `otherwise` where they are none that are known."""
    return next((step for pattern, step in STEPS.items() if re.search(pattern, words)), otherwise)
