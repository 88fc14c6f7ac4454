CREATE TABLE tokens ( hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, made_by_token TEXT, takeovers INTEGER NOT NULL DEFAULT 0, scope TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO tokens VALUES ('c7a26e16a0650ba14ff4a0beaca367f79c2063d5c0a78df3f00558b7c5ea1798', 'tok_XJPnx6NWzH9UsA2wu3ggIJkYls4', 'a token', 'mk_', 'usr_2E0f2pKG2AaH9MaTqDw9Eh9IF78', 'agent_7', NULL, 2000000000, NULL, NULL, NULL, NULL, 0, NULL);
INSERT INTO schema_version VALUES (1, 2);
