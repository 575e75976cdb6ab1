"""Example agents. They show how an agent is written, and run offline."""
