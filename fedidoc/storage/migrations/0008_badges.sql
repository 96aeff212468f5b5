-- Credentials that members of other servers presented, byte for byte as they were last fetched, with
-- what an issuer's status list needs to settle all its holders at once.
CREATE TABLE presented (
  actor_id TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  document BLOB NOT NULL,
  fetched BIGINT NOT NULL,
  status_list TEXT,
  status_index BIGINT,
  issuer_key TEXT NOT NULL,
  valid_until BIGINT
);
CREATE INDEX presented_list ON presented (status_list);

-- From when until when an actor was verified, as this instance saw it; `ended` is NULL while it lasts.
CREATE TABLE verified_spans (
  actor_id TEXT NOT NULL,
  began BIGINT NOT NULL,
  ended BIGINT,
  PRIMARY KEY (actor_id, began)
);
INSERT INTO verified_spans (actor_id, began) SELECT actor_id, MIN(issued) FROM credentials
  WHERE revoked IS NULL GROUP BY actor_id;
INSERT INTO verified_spans (actor_id, began) SELECT id, created FROM actors
  WHERE local = 0 AND badge LIKE '{"verified":true%';

-- Since when a peer's credential key is pinned; NULL where it was pinned before this was noted.
ALTER TABLE peers ADD COLUMN issuer_pinned BIGINT;

-- A renewed credential's predecessor is revoked once the new one has been announced.
ALTER TABLE credentials ADD COLUMN superseded BIGINT;
CREATE INDEX credentials_superseded ON credentials (superseded)
  WHERE superseded IS NOT NULL AND revoked IS NULL;
CREATE INDEX credentials_until ON credentials (valid_until) WHERE revoked IS NULL;

-- Members who ask for their verification to be renewed. state: waiting, renewed, declined, withdrawn.
CREATE TABLE renewals (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  state TEXT NOT NULL,
  specialty TEXT,
  jurisdiction TEXT NOT NULL,
  changed BIGINT NOT NULL,
  note_sealed BLOB NOT NULL,
  created BIGINT NOT NULL,
  decided BIGINT,
  decided_by TEXT,
  reason TEXT
);
CREATE UNIQUE INDEX renewals_waiting ON renewals (account_id) WHERE state = 'waiting';
CREATE INDEX renewals_account ON renewals (account_id, created);

-- Which reminders of a credential's end were left, by days before it.
CREATE TABLE reminders (
  credential_id TEXT NOT NULL,
  days BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (credential_id, days)
);
