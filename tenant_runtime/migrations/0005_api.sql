-- Assistants that somebody made over an agent of the manifest. The manifest's own are not rows.
CREATE TABLE assistants (
    assistant_id uuid PRIMARY KEY,
    owner text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- `assistants.version` says which row counts; older ones stay for going back.
CREATE TABLE assistant_versions (
    assistant_id uuid NOT NULL REFERENCES assistants ON DELETE CASCADE,
    version integer NOT NULL,
    agent text NOT NULL,
    name text NOT NULL,
    description text,
    config jsonb NOT NULL DEFAULT '{}',
    context jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (assistant_id, version)
);

CREATE TABLE crons (
    cron_id uuid PRIMARY KEY,
    owner text NOT NULL,
    -- The role it was made with: its runs see what its maker saw.
    role text NOT NULL,
    assistant_id text NOT NULL,
    thread_id uuid REFERENCES threads ON DELETE CASCADE,
    schedule text NOT NULL,
    timezone text,
    end_time timestamptz,
    enabled boolean NOT NULL DEFAULT true,
    on_run_completed text CHECK (on_run_completed IN ('delete', 'keep')),
    payload jsonb NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    -- NULL when it is due no more.
    next_run_date timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX crons_due ON crons (next_run_date) WHERE enabled AND next_run_date IS NOT NULL;
CREATE INDEX crons_owner ON crons (owner, created_at DESC);

CREATE TABLE store_items (
    item_id uuid PRIMARY KEY,
    owner text NOT NULL,
    namespace text[] NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    -- Which fields were embedded; NULL when none.
    indexed text[],
    ttl_minutes double precision,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, namespace, key)
);
CREATE INDEX store_items_value ON store_items USING gin (value jsonb_path_ops);
CREATE INDEX store_items_expires ON store_items (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE runs ADD COLUMN webhook text;
-- Written in the transaction that ends the run. It names no row of another table: the run may be gone before it is sent.
CREATE TABLE webhook_outbox (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run_id uuid NOT NULL UNIQUE,
    url text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    -- The next try; while one is going on, the moment another sender may take it for lost.
    next_at timestamptz NOT NULL DEFAULT now(),
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz
);
CREATE INDEX webhook_outbox_due ON webhook_outbox (next_at) WHERE state = 'pending';
CREATE INDEX webhook_outbox_settled ON webhook_outbox (settled_at) WHERE settled_at IS NOT NULL;
