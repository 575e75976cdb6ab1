-- What started a run: a trigger's message or another run's step. One row and so one run for each, however often it is
-- repeated. `start_id` is in the metadata of the run, for whoever finds a row whose starter died before it was filled.
CREATE TABLE run_starts (
    source text NOT NULL,
    key text NOT NULL,
    start_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    run_id uuid,
    thread_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, key)
);
CREATE INDEX run_starts_created_at ON run_starts (created_at);
CREATE INDEX runs_start_id ON runs ((metadata->>'start_id')) WHERE metadata ? 'start_id';

-- The thread of a trigger's messages that share a key. The key may name a person, so only its hash is here.
CREATE TABLE trigger_threads (
    trigger text NOT NULL,
    key_sha256 bytea NOT NULL,
    thread_id uuid NOT NULL DEFAULT gen_random_uuid(),
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger, key_sha256)
);
