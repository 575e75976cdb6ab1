-- From when on checkpoints are sealed, and since when plain ones are refused. No row: no key was ever given.
CREATE TABLE checkpoint_seal (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seal_from timestamptz NOT NULL,
    plain_until timestamptz
);
