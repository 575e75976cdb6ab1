-- What the state of each agent version is made of, as it was first served here. Threads hold states of that shape.
CREATE TABLE agent_schemas (
    agent text NOT NULL,
    version text NOT NULL,
    fingerprint text NOT NULL,
    schema jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent, version)
);
