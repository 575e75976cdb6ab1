-- A run's usage is looked up by the beginning of its events' ids, to tell it in answers.
CREATE INDEX usage_outbox_id ON usage_outbox (id text_pattern_ops);
