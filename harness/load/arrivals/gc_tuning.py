"""Keeps Python's garbage collector from holding up sends."""

import gc

_YOUNG = 50_000
"""New objects (less the freed ones) after which the youngest are looked at; Python's own number is 700."""


def settle() -> None:
    """Set aside what is alive now, so that later collections look only at what a run makes.

    A full collection walks over every object of Locust, boto3 and pyarrow: 100 to 150 ms during which nothing is sent.
    What was set aside before and has died since is collected first, so that runs one after another leak nothing.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    # Samples wait half a second to be written: looked at sooner, they are only found to be alive.
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
