"""Try again after a wait of random length, so that many runs that write at once find their turns."""

from __future__ import annotations

import logging
import random
import time

from tasks.common.errors import RegistryError

MIN_BACKOFF_S = 0.125
MAX_BACKOFF_S = 60.0
MAX_TRIES = 60
MAX_WAIT_S = 900.0
"""Limits of all tries of one verb together; of 200 registrations at once none needed more than 10 tries and 140 s."""
TELL_AFTER = 3
"""Tries after which a line of the log says for whom a verb waits."""

log = logging.getLogger(__name__)


class Backoff:
    """Waits of random length between tries, so that many runs that collide find their turns; it ends after a number or a time.

    The longest wait doubles each time, in units of what the last try took: while hundreds collide a try takes many times as long
    as alone, and waits that do not grow with it would keep it so.
    """

    def __init__(self, max_tries: int = MAX_TRIES, limit_s: float = MAX_WAIT_S) -> None:
        self.num_tries = 0
        self.max_tries = max_tries
        self.limit_s = limit_s
        self.started = self.begun = time.monotonic()

    @property
    def is_spent(self) -> bool:
        """Whether the tries or the time are used up."""
        return self.num_tries + 1 >= self.max_tries or time.monotonic() - self.started >= self.limit_s

    def wait(self) -> None:
        """Sleep once; the next try begins when it returns.

        Raises:
            RegistryError: the tries or the time are used up.
        """
        now = time.monotonic()
        if self.is_spent:
            what = f"other runs wrote first {self.num_tries + 1} times in {now - self.started:.0f} s"
            raise RegistryError(what, fix="Run again when fewer runs write at once: nothing is lost.")
        took_s = max(now - self.begun, MIN_BACKOFF_S)
        self.num_tries += 1
        if self.num_tries == TELL_AFTER:
            log.info("other runs write at the same time: trying for up to %.0f s", self.limit_s)
        longest_s = min(took_s * 2**self.num_tries, MAX_BACKOFF_S, self.started + self.limit_s - now)
        time.sleep(random.uniform(0, longest_s))  # noqa: S311 - no secret
        self.begun = time.monotonic()
