-- Logins of an identity provider. Issuer and subject together are a keyed digest, never themselves.
CREATE TABLE logins (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL UNIQUE REFERENCES accounts(id),
  subject_mac TEXT NOT NULL UNIQUE,
  linked BIGINT NOT NULL,
  used BIGINT NOT NULL,
  gave_admin BIGINT NOT NULL DEFAULT 0
);

-- A session that began at the provider: whose login, which of its sessions, and what it wants to see
-- again when the member logs out.
ALTER TABLE sessions ADD COLUMN login_id TEXT;
ALTER TABLE sessions ADD COLUMN sid_mac TEXT;
ALTER TABLE sessions ADD COLUMN hint_sealed BLOB;
CREATE INDEX sessions_login ON sessions (login_id) WHERE login_id IS NOT NULL;
CREATE INDEX sessions_sid ON sessions (sid_mac) WHERE sid_mac IS NOT NULL;

-- What is good once, until it has run out: states of sign-ins, ids of logout tokens.
CREATE TABLE spent (
  mac TEXT PRIMARY KEY,
  expires BIGINT NOT NULL
);
CREATE INDEX spent_expires ON spent (expires);

-- Links that the operator hands out: each opens one door for one account, once.
CREATE TABLE passes (
  token_mac TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  purpose TEXT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE INDEX passes_account ON passes (account_id);
