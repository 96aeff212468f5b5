-- Mail that waits to be sent, of one row shape with the other queues. What it says and to whom is
-- sealed, and gone once it is sent or given up.
CREATE TABLE mails (
  id TEXT PRIMARY KEY,
  sealed BLOB NOT NULL,
  expires BIGINT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT,
  last_error TEXT,
  created BIGINT NOT NULL
);
CREATE INDEX mails_due ON mails (state, next_at, id);

-- Institutional addresses: links that were sent, and addresses that answered. One member for each
-- address at a time.
CREATE TABLE mailbox_links (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  address_sealed BLOB NOT NULL,
  address_mac TEXT NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  used BIGINT
);
CREATE INDEX mailbox_links_account ON mailbox_links (account_id, created);
CREATE INDEX mailbox_links_address ON mailbox_links (address_mac, created);
CREATE TABLE mailboxes (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  address_sealed BLOB NOT NULL,
  address_mac TEXT NOT NULL,
  evidence_id TEXT NOT NULL,
  confirmed BIGINT NOT NULL,
  valid_until BIGINT NOT NULL,
  ended BIGINT
);
CREATE UNIQUE INDEX mailboxes_address ON mailboxes (address_mac) WHERE ended IS NULL;
CREATE INDEX mailboxes_account ON mailboxes (account_id);

-- Documents that reviewers look at: the file is encrypted with a key of its own, which is sealed
-- here and taken away first when the document is destroyed.
CREATE TABLE documents (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  name_sealed BLOB NOT NULL,
  key_sealed BLOB NOT NULL,
  file TEXT NOT NULL UNIQUE,
  media_type TEXT NOT NULL,
  size BIGINT NOT NULL,
  uploaded BIGINT NOT NULL,
  destroyed BIGINT
);
CREATE INDEX documents_account ON documents (account_id, uploaded);
CREATE INDEX documents_kept ON documents (uploaded) WHERE destroyed IS NULL;
CREATE TABLE document_views (
  document_id TEXT NOT NULL REFERENCES documents(id),
  reviewer_id TEXT NOT NULL REFERENCES accounts(id),
  at BIGINT NOT NULL,
  PRIMARY KEY (document_id, reviewer_id)
);

-- Vouches: asked for by an applicant, given or declined by a colleague. Either may be of another
-- server, so both are named by their actors; a colleague who was not found has none.
CREATE TABLE vouches (
  id TEXT PRIMARY KEY,
  uri TEXT UNIQUE,
  applicant_actor_id TEXT NOT NULL,
  voucher_actor_id TEXT,
  asked_sealed BLOB NOT NULL,
  profession TEXT NOT NULL,
  specialty TEXT,
  state TEXT NOT NULL,
  statement_sealed BLOB,
  asked BIGINT NOT NULL,
  answered BIGINT,
  valid_until BIGINT
);
CREATE INDEX vouches_applicant ON vouches (applicant_actor_id, asked);
CREATE INDEX vouches_voucher ON vouches (voucher_actor_id, state, answered);
