-- A run is leased to the worker that executes it. Each claim and each takeover raises the token, and every write
-- on the run's behalf is made under the token it was claimed with.
ALTER TABLE runs
    ADD COLUMN lease_token bigint NOT NULL DEFAULT 0,
    -- NULL while a worker of a version without leases executes it: then its process's advisory lock counts.
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN priority smallint NOT NULL DEFAULT 0,
    -- A run that sleeps is pending until this moment.
    ADD COLUMN wake_at timestamptz,
    -- Workers lost since the run last left one by its own will.
    ADD COLUMN losses smallint NOT NULL DEFAULT 0,
    -- Begin of the present attempt, and seconds executed before it: what a time limit counts.
    ADD COLUMN resumed_at timestamptz,
    ADD COLUMN spent_s double precision NOT NULL DEFAULT 0;
CREATE INDEX runs_running ON runs (principal, lease_until) WHERE status = 'running';
