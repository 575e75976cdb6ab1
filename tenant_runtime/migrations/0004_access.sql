-- Keys that are there already could reach everything but /admin; they go on doing so. A replica of the release
-- before this one makes keys without a role: those get the least.
ALTER TABLE api_keys
    ADD COLUMN role text NOT NULL DEFAULT 'operator'
        CHECK (role IN ('admin', 'operator', 'developer', 'user', 'auditor')),
    ADD COLUMN user_id text,
    ADD COLUMN expires_at timestamptz;
ALTER TABLE api_keys ALTER COLUMN role SET DEFAULT 'user';
CREATE INDEX threads_owner ON threads (owner, updated_at DESC);
