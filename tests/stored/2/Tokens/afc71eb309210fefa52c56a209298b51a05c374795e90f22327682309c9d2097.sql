CREATE TABLE tokens ( hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, made_by_token TEXT, takeovers INTEGER NOT NULL DEFAULT 0, scope TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO tokens VALUES ('78cecfc68cd30b29ff98bdffa73a4018d31044199306236c5d47b8ebc19f633f', 'tok_6OtjKHxGVyt0qUu4urnqyfCNW8E', 'a token', 'mat_', 'usr_077IknsecNmP8OY6TQEynmT-InI', 'agent_7', 'task_9', 2000000000, NULL, NULL, 2000000000, NULL, 0, NULL);
INSERT INTO schema_version VALUES (1, 2);
