CREATE TABLE attempts ( reference TEXT NOT NULL, provider TEXT NOT NULL, number INTEGER NOT NULL, owner TEXT, status TEXT NOT NULL, late INTEGER NOT NULL, event TEXT, event_type TEXT, confirmed_at INTEGER, expires_at INTEGER NOT NULL, released INTEGER NOT NULL, PRIMARY KEY (reference, provider, number)) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_due ON attempts (released, status, expires_at);
CREATE TABLE early ( reference TEXT NOT NULL, provider TEXT NOT NULL, event TEXT NOT NULL, event_type TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (reference, provider)) STRICT, WITHOUT ROWID;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO attempts VALUES ('cs_paid', 'shop', 1, 'user:usr_LxH4s6olwRZ03GTG6HmcNL9Hsdw', 'confirmed', 0, 'evt_cs_paid', 'paid', 2000000000, 2000001800, 0);
INSERT INTO schema_version VALUES (1, 1);
