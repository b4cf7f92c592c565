"""Draw the embedded dataset "parts on a bench": the kinds that sample.classes names, with the visible region of each
as label.

Every image is a function of (seed, split, index) alone, so any number of workers draws the same bytes.
Made with numpy and OpenCV:

    shapes    the outline of a part and its pose in the image
    scene     the bench below the parts, the light above them, and the camera
    parts     where the parts of an image lie, and how much of each can be seen
    paint     finish, shadow and shading of a part
    draw      one image and its labels; the whole dataset, `run(params)`
"""

from tasks.sample.draw import Drawn, run

__all__ = ["Drawn", "run"]
