"""Other protocols over the same runs: OpenAI's, A2A and MCP. A door translates; runs begin and end elsewhere."""
