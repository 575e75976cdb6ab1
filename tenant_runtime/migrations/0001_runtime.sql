CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    prefix text NOT NULL,
    token_sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE threads (
    thread_id uuid PRIMARY KEY,
    owner text NOT NULL,
    status text NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'busy', 'interrupted', 'error')),
    metadata jsonb NOT NULL DEFAULT '{}',
    "values" jsonb,
    interrupts jsonb NOT NULL DEFAULT '{}',
    -- A stateless run's thread: hidden from search, removed after this moment.
    remove_after timestamptz,
    ephemeral boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX threads_updated_at ON threads (updated_at DESC);
CREATE INDEX threads_metadata ON threads USING gin (metadata jsonb_path_ops);
CREATE INDEX threads_remove_after ON threads (remove_after) WHERE remove_after IS NOT NULL;

CREATE TABLE runs (
    run_id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    thread_id uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
    agent text NOT NULL,
    assistant_id text NOT NULL,
    principal text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'error', 'success', 'timeout', 'interrupted')),
    cancel_action text CHECK (cancel_action IN ('interrupt', 'rollback')),
    metadata jsonb NOT NULL DEFAULT '{}',
    kwargs text NOT NULL,
    multitask_strategy text NOT NULL,
    output text,
    error_code text,
    error_detail text,
    claimed_by uuid,
    -- Second half of the advisory lock its process holds while it lives.
    claimed_lock integer,
    attempt integer NOT NULL DEFAULT 0,
    model_calls integer NOT NULL DEFAULT 0,
    tool_calls integer NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX runs_thread ON runs (thread_id, seq DESC);
CREATE INDEX runs_pending ON runs (seq) WHERE status = 'pending';
-- One writer per thread: the database says so, whoever claims.
CREATE UNIQUE INDEX runs_one_running_per_thread ON runs (thread_id) WHERE status = 'running';

CREATE TABLE run_events (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    seq integer NOT NULL,
    event text NOT NULL,
    data text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE usage_outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    id text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'parked')),
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    UNIQUE (source, id)
);
CREATE INDEX usage_outbox_pending ON usage_outbox (seq) WHERE state = 'pending';

CREATE TABLE audit_log (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
