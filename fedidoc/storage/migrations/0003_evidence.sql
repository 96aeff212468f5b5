-- Evidence belongs to an account; that it was seen for an application is kept where it was so. What
-- was one kind, a register match with a document, is two rows: each may run out by itself.
DROP INDEX evidence_application;
ALTER TABLE evidence RENAME TO evidence_before;
CREATE TABLE evidence (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  application_id TEXT REFERENCES applications(id),
  kind TEXT NOT NULL,
  detail_sealed BLOB NOT NULL,
  recorded BIGINT NOT NULL,
  recorded_by TEXT NOT NULL,
  valid_until BIGINT,
  withdrawn BIGINT,
  withdrawn_by TEXT,
  withdrawal_sealed BLOB
);
CREATE INDEX evidence_account ON evidence (account_id, recorded);
CREATE INDEX evidence_expiry ON evidence (valid_until) WHERE valid_until IS NOT NULL;
INSERT INTO evidence
  (id, account_id, application_id, kind, detail_sealed, recorded, recorded_by)
  SELECT e.id, a.account_id, e.application_id,
    CASE e.kind WHEN 'register_and_document' THEN 'document' ELSE e.kind END,
    e.detail_sealed, e.recorded, e.recorded_by
  FROM evidence_before e JOIN applications a ON a.id = e.application_id;
INSERT INTO evidence
  (id, account_id, application_id, kind, detail_sealed, recorded, recorded_by)
  SELECT e.id || '-register', a.account_id, e.application_id, 'register',
    e.detail_sealed, e.recorded, e.recorded_by
  FROM evidence_before e JOIN applications a ON a.id = e.application_id
  WHERE e.kind = 'register_and_document';
DROP TABLE evidence_before;

-- What a member's evidence and role allow by the configuration's levels; written when it is decided,
-- and again at every start.
ALTER TABLE accounts ADD COLUMN level TEXT;
ALTER TABLE accounts ADD COLUMN rights TEXT NOT NULL DEFAULT '';
CREATE INDEX accounts_standing ON accounts (standing, id);

-- The same licence in two applications is found by a keyed digest of number and jurisdiction.
ALTER TABLE applications ADD COLUMN licence_mac TEXT;
CREATE INDEX applications_licence ON applications (licence_mac);

-- An approval that waits for a second reviewer. It holds for the claim that the first one saw.
CREATE TABLE proposals (
  application_id TEXT PRIMARY KEY REFERENCES applications(id),
  account_id TEXT NOT NULL REFERENCES accounts(id),
  at BIGINT NOT NULL,
  kinds TEXT NOT NULL,
  claim_digest TEXT NOT NULL,
  reason_sealed BLOB NOT NULL
);

-- What reviewers write down for each other, and what they found each exclusion hit to be.
CREATE TABLE application_notes (
  id TEXT PRIMARY KEY,
  application_id TEXT NOT NULL REFERENCES applications(id),
  account_id TEXT NOT NULL REFERENCES accounts(id),
  at BIGINT NOT NULL,
  note_sealed BLOB NOT NULL
);
CREATE INDEX application_notes_of ON application_notes (application_id, at);
CREATE TABLE disposed_hits (
  application_id TEXT NOT NULL REFERENCES applications(id),
  hit TEXT NOT NULL,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  at BIGINT NOT NULL,
  words_sealed BLOB NOT NULL,
  PRIMARY KEY (application_id, hit)
);

CREATE INDEX audit_subject ON audit (subject, number);
CREATE INDEX audit_action ON audit (action, number);
