-- Pseudonyms: accounts of their own. Nothing below holds an account's id, and no time is finer than
-- a day. WITHOUT ROWID keeps rows by their random key, so that their order says nothing either.

-- Public: that an actor is a pseudonym. Every peer is told the same.
ALTER TABLE actors ADD COLUMN pseudonymous BIGINT NOT NULL DEFAULT 0;
-- The last year for which a member was handed the yearly code; everybody is, whether they use it
-- or not.
ALTER TABLE accounts ADD COLUMN code_year BIGINT NOT NULL DEFAULT 0;

-- Enrolled, and not open before the next daily batch. `code_digest` is of the code it was bought by.
CREATE TABLE pseudonyms_waiting (
  id TEXT PRIMARY KEY,
  handle TEXT NOT NULL UNIQUE,
  code_digest TEXT NOT NULL UNIQUE,
  passphrase_hash TEXT NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE pseudonyms (
  id TEXT PRIMARY KEY,
  actor_id TEXT NOT NULL UNIQUE,
  handle TEXT NOT NULL UNIQUE,
  passphrase_hash TEXT NOT NULL,
  profession TEXT NOT NULL,
  specialty TEXT,
  year BIGINT NOT NULL,
  standing TEXT NOT NULL,
  jitter BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE pseudonym_codes_spent (
  code_digest TEXT PRIMARY KEY,
  year BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE pseudonym_records (
  id TEXT PRIMARY KEY,
  pseudonym_id TEXT NOT NULL,
  year BIGINT NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX pseudonym_records_of ON pseudonym_records (pseudonym_id);
CREATE TABLE pseudonym_sessions (
  token_mac TEXT PRIMARY KEY,
  pseudonym_id TEXT NOT NULL,
  csrf TEXT NOT NULL,
  expires BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX pseudonym_sessions_of ON pseudonym_sessions (pseudonym_id);
CREATE TABLE pseudonym_recovery (
  code_mac TEXT PRIMARY KEY,
  pseudonym_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX pseudonym_recovery_of ON pseudonym_recovery (pseudonym_id);
CREATE TABLE pseudonym_passkeys (
  credential_id TEXT PRIMARY KEY,
  pseudonym_id TEXT NOT NULL,
  public_key BLOB NOT NULL,
  sign_count BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX pseudonym_passkeys_of ON pseudonym_passkeys (pseudonym_id);
-- What the moderators told a pseudonym: a warning, or that its record was opened.
CREATE TABLE pseudonym_notices (
  id TEXT PRIMARY KEY,
  pseudonym_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  words TEXT NOT NULL,
  day BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX pseudonym_notices_of ON pseudonym_notices (pseudonym_id);

-- Who asked that a record be opened, and what came of it; never whose it was.
CREATE TABLE escrow_requests (
  id TEXT PRIMARY KEY,
  pseudonym_id TEXT NOT NULL,
  handle TEXT NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  asked_by TEXT NOT NULL,
  approved_by TEXT,
  year BIGINT NOT NULL,
  withheld BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
