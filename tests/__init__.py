"""The test suite; `-m "not slow"` selects what takes seconds."""
