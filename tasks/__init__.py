"""The stages of the pipeline, one module each, runnable as `python -m tasks.NAME`."""
