"""What agents remember: turns of a conversation in Redis for a while, documents in the vector store for good."""
