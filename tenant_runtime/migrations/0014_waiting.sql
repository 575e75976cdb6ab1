-- What a claim looks through: each owner's waiting runs in the order they would begin.
CREATE INDEX runs_waiting ON runs (principal, priority DESC, seq) WHERE status = 'pending';
-- Seconds executed are kept in the row from now on, because a run may sleep or change its worker in between.
UPDATE runs SET spent_s = extract(epoch FROM ended_at - started_at)
WHERE ended_at IS NOT NULL AND started_at IS NOT NULL AND spent_s = 0;
