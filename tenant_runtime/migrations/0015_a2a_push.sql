-- Whom A2A's tasks tell how they stand. `opening` is what opens the receiver's door, sealed where a key is there.
CREATE TABLE a2a_push_configs (
    task_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    config_id text NOT NULL,
    url text NOT NULL,
    opening_type text NOT NULL,
    opening bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, config_id)
);
-- What is still to be told: written in the transaction that ends a run, as webhook_outbox is.
CREATE TABLE a2a_push_outbox (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run_id uuid NOT NULL,
    task_id uuid NOT NULL,
    config_id text NOT NULL,
    url text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    UNIQUE (run_id, config_id)
);
CREATE INDEX a2a_push_outbox_due ON a2a_push_outbox (next_at) WHERE state = 'pending';
CREATE INDEX a2a_push_outbox_settled ON a2a_push_outbox (settled_at) WHERE settled_at IS NOT NULL;
