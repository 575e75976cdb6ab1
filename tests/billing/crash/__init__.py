"""Metering killed at every step, cut off from its database and lied to by the network: every event counts once."""
