"""Frozen data that crosses deployables. No I/O, no Django, no environment. Everybody may import it."""
