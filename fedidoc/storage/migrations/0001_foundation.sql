-- The foundation. Text ids, UTC milliseconds and 0/1 as BIGINT, JSON as TEXT, sealed values as BLOB.
-- Every statement ends with ";" at the end of a line. migrate.py puts in what the databases call
-- differently.

-- People: who may log in, and what they showed. Sealed columns open only with [secrets] key.
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  actor_id TEXT NOT NULL UNIQUE,
  username TEXT NOT NULL UNIQUE,
  email_sealed BLOB NOT NULL,
  email_mac TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  role TEXT NOT NULL,
  specialty TEXT,
  standing TEXT NOT NULL,
  admin BIGINT NOT NULL DEFAULT 0,
  created BIGINT NOT NULL,
  suspended_from TEXT
);
CREATE TABLE sessions (
  token_mac TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  csrf TEXT NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE INDEX sessions_account ON sessions (account_id);
CREATE TABLE tokens (
  token_mac TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  name TEXT NOT NULL,
  created BIGINT NOT NULL,
  revoked BIGINT
);
CREATE INDEX tokens_account ON tokens (account_id);
CREATE TABLE applications (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  profession TEXT NOT NULL,
  specialty TEXT,
  jurisdiction TEXT NOT NULL,
  claim_sealed BLOB NOT NULL,
  npi_mac TEXT,
  state TEXT NOT NULL,
  created BIGINT NOT NULL,
  decided BIGINT,
  decided_by TEXT,
  reason TEXT
);
CREATE INDEX applications_queue ON applications (state, created);
CREATE INDEX applications_account ON applications (account_id);
CREATE INDEX applications_npi ON applications (npi_mac);
CREATE TABLE evidence (
  id TEXT PRIMARY KEY,
  application_id TEXT NOT NULL REFERENCES applications(id),
  kind TEXT NOT NULL,
  assurance TEXT NOT NULL,
  detail_sealed BLOB NOT NULL,
  recorded BIGINT NOT NULL,
  recorded_by TEXT NOT NULL
);
CREATE INDEX evidence_application ON evidence (application_id);

-- Registers: public data, imported.
CREATE TABLE register_imports (
  id TEXT PRIMARY KEY,
  register TEXT NOT NULL,
  file_name TEXT NOT NULL,
  file_digest TEXT NOT NULL,
  rows_done BIGINT NOT NULL,
  finished BIGINT,
  started BIGINT NOT NULL
);
CREATE TABLE nppes (
  npi TEXT PRIMARY KEY,
  entity_type TEXT NOT NULL,
  last_name TEXT NOT NULL,
  first_name TEXT NOT NULL,
  middle_name TEXT NOT NULL,
  credential TEXT NOT NULL,
  city TEXT NOT NULL,
  state TEXT NOT NULL,
  taxonomies TEXT NOT NULL,
  licences TEXT NOT NULL,
  enumerated TEXT NOT NULL,
  updated TEXT NOT NULL,
  deactivated TEXT NOT NULL,
  reactivated TEXT NOT NULL
);
CREATE TABLE nucc (
  code TEXT PRIMARY KEY,
  grouping TEXT NOT NULL,
  classification TEXT NOT NULL,
  specialization TEXT NOT NULL,
  display TEXT NOT NULL
);

-- Actors, their keys, who follows whom, and the servers we know.
CREATE TABLE actors (
  id TEXT PRIMARY KEY,
  uri TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  username TEXT NOT NULL,
  host TEXT NOT NULL,
  local BIGINT NOT NULL,
  name TEXT NOT NULL,
  summary_html TEXT NOT NULL,
  summary_source TEXT,
  inbox TEXT NOT NULL,
  shared_inbox TEXT,
  outbox TEXT,
  followers TEXT,
  following TEXT,
  url TEXT,
  icon_url TEXT,
  approves_follows BIGINT NOT NULL DEFAULT 0,
  discoverable BIGINT NOT NULL DEFAULT 0,
  badge TEXT NOT NULL,
  credential_url TEXT,
  created BIGINT NOT NULL,
  refreshed BIGINT NOT NULL,
  suspended BIGINT,
  deleted BIGINT
);
CREATE UNIQUE INDEX actors_handle ON actors (host, username) ;
CREATE INDEX actors_followers ON actors (followers);
CREATE TABLE actor_keys (
  key_id TEXT PRIMARY KEY,
  actor_id TEXT NOT NULL,
  owner_uri TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  public TEXT NOT NULL,
  private_sealed BLOB,
  fetched BIGINT NOT NULL
);
CREATE INDEX actor_keys_actor ON actor_keys (actor_id);
CREATE TABLE follows (
  id TEXT PRIMARY KEY,
  uri TEXT NOT NULL UNIQUE,
  follower_id TEXT NOT NULL,
  followed_id TEXT NOT NULL,
  state TEXT NOT NULL,
  created BIGINT NOT NULL,
  UNIQUE (follower_id, followed_id)
);
CREATE INDEX follows_followed ON follows (followed_id, state);
CREATE TABLE peers (
  host TEXT PRIMARY KEY,
  policy TEXT NOT NULL,
  require_credential BIGINT NOT NULL DEFAULT 1,
  issuer_uri TEXT,
  issuer_key_id TEXT,
  issuer_key TEXT,
  shared_inbox TEXT,
  software TEXT,
  reason TEXT,
  created BIGINT NOT NULL,
  contacted BIGINT
);
CREATE TABLE hosts (
  host TEXT PRIMARY KEY,
  scheme TEXT,
  failures BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL DEFAULT 0,
  last_error TEXT,
  delivered BIGINT
);

-- Credentials: those this instance issued, and the status lists of others.
CREATE TABLE credentials (
  id TEXT PRIMARY KEY,
  actor_id TEXT NOT NULL,
  document TEXT NOT NULL,
  status_index BIGINT NOT NULL UNIQUE,
  issued BIGINT NOT NULL,
  valid_until BIGINT NOT NULL,
  revoked BIGINT
);
CREATE INDEX credentials_actor ON credentials (actor_id);
CREATE TABLE status_lists (
  uri TEXT PRIMARY KEY,
  issuer TEXT NOT NULL,
  bits TEXT NOT NULL,
  fetched BIGINT NOT NULL
);

-- Cases, replies, and what belongs to them.
CREATE TABLE posts (
  id TEXT PRIMARY KEY,
  uri TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  author_id TEXT NOT NULL,
  local BIGINT NOT NULL,
  audience TEXT NOT NULL,
  title TEXT NOT NULL,
  html TEXT NOT NULL,
  source TEXT,
  guard TEXT,
  confirmed TEXT,
  parent_id TEXT,
  case_id TEXT,
  in_reply_to TEXT,
  url TEXT NOT NULL,
  sensitive BIGINT NOT NULL DEFAULT 0,
  published BIGINT NOT NULL,
  edited BIGINT,
  deleted BIGINT,
  received BIGINT NOT NULL
);
CREATE INDEX posts_author ON posts (author_id, id);
CREATE INDEX posts_case ON posts (case_id, published);
CREATE INDEX posts_kind ON posts (kind, deleted, id);
CREATE INDEX posts_waiting_parent ON posts (in_reply_to);
CREATE TABLE cases (
  post_id TEXT PRIMARY KEY,
  specialty TEXT,
  specialty_label TEXT,
  age_band TEXT,
  sex TEXT,
  presentation TEXT NOT NULL,
  findings TEXT NOT NULL,
  question TEXT NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT NOT NULL,
  teaching_points TEXT NOT NULL
);
CREATE INDEX cases_state ON cases (state, specialty);
CREATE TABLE post_recipients (
  post_id TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  PRIMARY KEY (post_id, actor_id)
);
CREATE INDEX post_recipients_actor ON post_recipients (actor_id);
CREATE TABLE media (
  id TEXT PRIMARY KEY,
  post_id TEXT,
  owner_id TEXT NOT NULL,
  position BIGINT NOT NULL,
  alt TEXT NOT NULL,
  media_type TEXT NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  file TEXT,
  remote_url TEXT,
  created BIGINT NOT NULL
);
CREATE INDEX media_post ON media (post_id, position);
CREATE TABLE likes (
  id TEXT PRIMARY KEY,
  uri TEXT NOT NULL UNIQUE,
  actor_id TEXT NOT NULL,
  post_id TEXT NOT NULL,
  created BIGINT NOT NULL,
  UNIQUE (actor_id, post_id)
);
CREATE INDEX likes_post ON likes (post_id);
CREATE TABLE announces (
  id TEXT PRIMARY KEY,
  uri TEXT NOT NULL UNIQUE,
  actor_id TEXT NOT NULL,
  post_id TEXT NOT NULL,
  created BIGINT NOT NULL,
  UNIQUE (actor_id, post_id)
);
CREATE INDEX announces_post ON announces (post_id);
CREATE TABLE drafts (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL,
  place TEXT NOT NULL,
  fields_sealed BLOB NOT NULL,
  saved BIGINT NOT NULL,
  UNIQUE (account_id, place)
);
CREATE TABLE notifications (
  id TEXT PRIMARY KEY,
  account_actor_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  actor_id TEXT,
  post_id TEXT,
  at BIGINT NOT NULL,
  read BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX notifications_for ON notifications (account_actor_id, id);

-- What must not be lost: one row shape for every queue. state is waiting, done or dead. A row that is
-- being worked on still waits, but is not due (next_at) before its lease is over.
CREATE TABLE inbox (
  id TEXT PRIMARY KEY,
  signer TEXT NOT NULL,
  activity_id TEXT NOT NULL,
  host TEXT NOT NULL,
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  last_error TEXT,
  effect TEXT,
  created BIGINT NOT NULL,
  UNIQUE (signer, activity_id)
);
CREATE INDEX inbox_due ON inbox (state, next_at, id);
CREATE INDEX inbox_bodies ON inbox (next_at) WHERE state = 'done' AND body <> '';
CREATE TABLE events (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  last_error TEXT,
  created BIGINT NOT NULL
);
CREATE INDEX events_due ON events (state, next_at, id);
CREATE TABLE activities (
  id TEXT PRIMARY KEY,
  uri TEXT NOT NULL UNIQUE,
  actor_id TEXT NOT NULL,
  type TEXT NOT NULL,
  object_uri TEXT NOT NULL,
  post_id TEXT,
  audience TEXT NOT NULL,
  body TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX activities_actor ON activities (actor_id, id);
CREATE INDEX activities_post ON activities (post_id);
CREATE TABLE deliveries (
  id TEXT PRIMARY KEY,
  activity_id TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  host TEXT NOT NULL,
  inbox TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  last_error TEXT,
  created BIGINT NOT NULL,
  finished BIGINT,
  UNIQUE (activity_id, inbox)
);
CREATE INDEX deliveries_due ON deliveries (state, host, id);
CREATE INDEX deliveries_leased ON deliveries (host) WHERE lease_by IS NOT NULL;
CREATE TABLE tasks (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  last_error TEXT,
  created BIGINT NOT NULL,
  UNIQUE (kind, subject)
);
CREATE INDEX tasks_due ON tasks (state, next_at, id);

-- Who decided what. Append-only; each row carries the digest of the one before.
CREATE TABLE audit (
  number BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  who TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  previous TEXT NOT NULL,
  digest TEXT NOT NULL
);
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
