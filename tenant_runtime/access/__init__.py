"""Who may come in: API keys and the principal they stand for. Nothing here knows what is being asked for."""
