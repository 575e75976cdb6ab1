"""The Model Context Protocol: each agent is a tool."""
