"""The main job: what to compute, in which order, once."""
