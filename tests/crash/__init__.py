"""The crash suite: every part of the product killed at every step, and what is left looked at."""
