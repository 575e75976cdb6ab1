"""Assistants made over agents: an agent with a name, configuration and context of its own, in versions."""
