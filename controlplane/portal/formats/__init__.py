"""How Django writes numbers by itself: as machines read them, in every language. figures.py writes those for people."""
