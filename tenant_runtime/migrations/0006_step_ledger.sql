-- One row for each model call, embedding and tool call of a step that is not behind a checkpoint yet. A checkpoint that
-- takes the step's result in removes its rows, in its own transaction.
CREATE TABLE run_steps (
    thread_id uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
    step_key text NOT NULL,
    -- The run that made the call, or adopted it, and pays for it. Runs are removed before their thread.
    run_id uuid NOT NULL,
    -- The task of the outermost graph and the checkpoint it started from, and those of the calling task itself.
    root_task text NOT NULL,
    root_checkpoint_id text NOT NULL,
    checkpoint_ns text NOT NULL,
    checkpoint_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('chat', 'embed', 'tool')),
    name text NOT NULL,
    args_hash bytea NOT NULL,
    -- Whether the call may be made again without asking anybody.
    repeatable boolean NOT NULL,
    idempotency_key uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('intent', 'done', 'failed', 'unknown')),
    tries integer NOT NULL DEFAULT 1,
    -- How many answers of a person have been applied: a replay passes as many interrupts again.
    asks integer NOT NULL DEFAULT 0,
    result_type text,
    result bytea,
    usage jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    PRIMARY KEY (thread_id, step_key),
    CHECK ((state IN ('done', 'failed')) = (result IS NOT NULL))
);
