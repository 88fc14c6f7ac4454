CREATE TABLE tokens ( hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, made_by_token TEXT, takeovers INTEGER NOT NULL DEFAULT 0, scope TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO tokens VALUES ('1d7338f8ae3c1bbbd86f5f69d6b4210d24b54df3460d5425849267a4a2b1282a', 'tok_OZDkX0OV5x0gv07qigPp7cQYu0c', 'a token', 'mul_', 'usr_077IknsecNmP8OY6TQEynmT-InI', NULL, NULL, 2000000000, NULL, NULL, NULL, NULL, 0, NULL);
INSERT INTO schema_version VALUES (1, 2);
