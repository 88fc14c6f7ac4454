CREATE TABLE tokens ( hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, made_by_token TEXT, takeovers INTEGER NOT NULL DEFAULT 0, scope TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO tokens VALUES ('2b6c1fed8376db6a30a6e9565cf9712b3cbe1594882e22ddc05d46d9e393a13e', 'tok_hrGxAq5YOcWO0hteHGmwUh27rtw', 'a token', 'mat_', 'usr_LxH4s6olwRZ03GTG6HmcNL9Hsdw', 'agent_7', 'task_9', 2000000000, NULL, NULL, 2000000000, NULL, 0, NULL);
INSERT INTO schema_version VALUES (1, 2);
