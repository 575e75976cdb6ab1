"""The endpoints that clients of OpenAI call: an agent is a model, a thread is a conversation."""
