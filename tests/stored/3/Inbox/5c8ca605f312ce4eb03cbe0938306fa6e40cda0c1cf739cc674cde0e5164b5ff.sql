CREATE TABLE events ( id TEXT PRIMARY KEY, number INTEGER NOT NULL, key TEXT NOT NULL UNIQUE, event_id TEXT, event_type TEXT, payload_hash TEXT NOT NULL, subject TEXT, target TEXT NOT NULL, fields TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, duplicates INTEGER NOT NULL, status INTEGER, received_at INTEGER NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL, ready INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE INDEX events_ready ON events (ready, at);
CREATE INDEX events_number ON events (number);
CREATE INDEX events_until ON events (until);
CREATE INDEX events_subject ON events (subject, state, number);
CREATE TABLE bodies (id TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE schema_version ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO events VALUES ('whk_later.pbqxKvPjjm-u2hQwmnVHCUX4OwE', 1, 'evt_later', 'evt_later', 'told', '05a4ebc17fb99ed758daf228eeb1fc861d22d8cef37e4f09d48a508a08ec0563', NULL, '/hooks/later', 'content-type
application/json
stripe-signature
t=2000000000,v1=d7f643525df26354f3742b54d1216de56c5a87fef93d2144b7f560ed8ef3fe83', 'received', 0, 0, NULL, 2000000000, 2000000000, 2000604800, 1);
INSERT INTO bodies VALUES ('whk_later.pbqxKvPjjm-u2hQwmnVHCUX4OwE', X'7B226964223A226576745F6C61746572222C2274797065223A22746F6C64227D');
INSERT INTO schema_version VALUES (1, 1);
