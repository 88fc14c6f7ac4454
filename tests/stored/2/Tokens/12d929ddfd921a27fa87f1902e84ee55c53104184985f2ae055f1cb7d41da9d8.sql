CREATE TABLE tokens ( hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, made_by_token TEXT, takeovers INTEGER NOT NULL DEFAULT 0, scope TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO tokens VALUES ('0952364cad6de63520801924c3c2717c7ee1198538b31df7176f5e63ae31ff7c', 'tok_0qwbciz6P75KoAXpHp182Lfw-bQ', 'a token', 'mk_', 'usr_dYHAYuhcxvKVdRM71SpXoACuFlE', 'agent_7', NULL, 2000000000, NULL, NULL, NULL, NULL, 0, NULL);
INSERT INTO schema_version VALUES (1, 2);
