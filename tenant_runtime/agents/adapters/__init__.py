"""Adapters: what a manifest's target may be, and how it becomes a graph. A target that does not fit is a TypeError."""
