"""The one door to models: an OpenAI-compatible client, and the offline stand-in it talks to by default."""
