-- One row while new runs are refused, none otherwise: every replica reads it, and a restart changes nothing.
CREATE TABLE run_pause (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    reason text NOT NULL,
    hint text NOT NULL,
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now()
);
