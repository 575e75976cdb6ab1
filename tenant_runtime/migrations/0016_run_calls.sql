-- What each call of a run took, kept as long as its run: the ledger forgets a step once a checkpoint has taken it in.
-- Neither arguments nor results: who looks at the course of a run need not see what was said in it.
CREATE TABLE run_calls (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    step_key text NOT NULL,
    tries integer NOT NULL,
    -- The attempt of the run that made the call.
    attempt integer NOT NULL,
    place text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('chat', 'embed', 'tool')),
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('done', 'failed')),
    usage jsonb NOT NULL,
    duration_ms integer NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, step_key, tries)
);
-- The newest runs of an agent, and those with a status.
CREATE INDEX runs_agent ON runs (agent, seq DESC);
CREATE INDEX runs_status ON runs (status, seq DESC);
