"""The ratchet, seen: what every version gained, who decided and why, on one page; and any two versions side by side.

reads   the versions, what was decided about them, the looks, and the reports that each version keeps
writes  runs/history.html, runs/diff-A-B.html

The flows write the history after they registered or promoted; `python -m tasks.registry page` and `... diff A B` do it by hand.
"""
