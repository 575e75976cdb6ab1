"""`offline-rules-1` and `offline-hash-1`: an OpenAI-compatible endpoint made of rules. No network, no weights."""
