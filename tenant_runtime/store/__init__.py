"""The key-value store that agents and their users share: items by namespace and key, each with an owner."""
