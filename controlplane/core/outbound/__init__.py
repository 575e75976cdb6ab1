"""Messages that leave the house: an outbox in Postgres, delivered by e-mail or as a signed POST. Knows nothing of what
the messages are about."""
