-- How long a thread outlives its last use, and what happens then. NULL: as the runtime's setting says.
ALTER TABLE threads
    ADD COLUMN ttl_minutes double precision,
    ADD COLUMN ttl_strategy text CHECK (ttl_strategy IN ('delete', 'keep_latest')),
    ADD COLUMN pruned_at timestamptz;
ALTER TABLE runs ADD COLUMN log_removed_at timestamptz;
CREATE INDEX runs_ended ON runs (ended_at) WHERE log_removed_at IS NULL;
