"""Pulumi providers of our own."""
