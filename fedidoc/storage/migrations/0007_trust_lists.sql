-- Trust lists of others that this instance subscribes to. `pins` is a digest of the configured address
-- and keys: where it changed, the operator has begun anew and nothing that was held binds.
CREATE TABLE trust_subscriptions (
  name TEXT PRIMARY KEY,
  pins TEXT NOT NULL,
  sequence BIGINT,
  etag TEXT,
  asked BIGINT,
  answered BIGINT,
  failures BIGINT NOT NULL DEFAULT 0,
  trouble TEXT,
  trouble_text TEXT,
  trouble_since BIGINT
);
-- Every list that was accepted, and what was to be flagged about it (a gap before it).
CREATE TABLE trust_accepted (
  subscription TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  digest TEXT NOT NULL,
  document TEXT NOT NULL,
  signed BIGINT NOT NULL,
  flag TEXT,
  accepted BIGINT NOT NULL,
  PRIMARY KEY (subscription, sequence)
);
-- Which servers are trusted because a list says so: what that list may take away again.
CREATE TABLE trust_grants (
  subscription TEXT NOT NULL,
  host TEXT NOT NULL,
  since BIGINT NOT NULL,
  PRIMARY KEY (subscription, host)
);
-- This instance's own list, every one that was published.
CREATE TABLE trust_published (
  sequence BIGINT PRIMARY KEY,
  digest TEXT NOT NULL,
  document TEXT NOT NULL,
  published BIGINT NOT NULL
);

-- Whether the operator allowed a server, or only lists do; and why trust in one that only lists
-- allow is withheld now: removed, suspended or stale.
ALTER TABLE peers ADD COLUMN own BIGINT NOT NULL DEFAULT 1;
ALTER TABLE peers ADD COLUMN withheld TEXT;
