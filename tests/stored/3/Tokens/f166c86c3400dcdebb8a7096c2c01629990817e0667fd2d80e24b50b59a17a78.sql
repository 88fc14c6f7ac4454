CREATE TABLE tokens ( hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, made_by_token TEXT, takeovers INTEGER NOT NULL DEFAULT 0, scope TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO tokens VALUES ('a250c9e906838a32e8fb4cb7a4f571c7a7b270c9f5a5c166127efb255e357dac', 'tok_N2T_drbUqLeY9hXA5MQ5axWXNfU', 'a token', 'mul_', 'usr_LxH4s6olwRZ03GTG6HmcNL9Hsdw', NULL, NULL, 2000000000, NULL, NULL, NULL, NULL, 0, '{"operations":["orders.*"],"methods":null,"addresses":null}');
INSERT INTO schema_version VALUES (1, 2);
