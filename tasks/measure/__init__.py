"""The ruler: what a model does with images, how good that is, and how sure one may be. It decides nothing."""
