"""Crons: runs that begin by the clock, in the time zone their maker names."""
