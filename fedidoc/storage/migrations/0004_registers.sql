-- Entries of registers that the configuration maps, and of a credentialing office. `number` is the
-- licence number without what people write around it; its keyed digest where the list is not public
-- (`entry` is sealed then). A person may have several entries, which differ in `variant`.
CREATE TABLE register_rows (
  register TEXT NOT NULL,
  number TEXT NOT NULL,
  variant TEXT NOT NULL,
  entry BLOB NOT NULL,
  import_id TEXT NOT NULL,
  PRIMARY KEY (register, number, variant)
);
CREATE INDEX register_imports_latest ON register_imports (register, started);

-- What a register's own service answered when a number was looked up there, for a day.
CREATE TABLE register_answers (
  register TEXT NOT NULL,
  number_mac TEXT NOT NULL,
  answered BIGINT NOT NULL,
  answer_sealed BLOB NOT NULL,
  PRIMARY KEY (register, number_mac)
);

-- People excluded from health programmes. Names are folded in `surname`, which they are found by.
CREATE TABLE exclusions (
  id TEXT PRIMARY KEY,
  npi TEXT NOT NULL,
  surname TEXT NOT NULL,
  last_name TEXT NOT NULL,
  first_name TEXT NOT NULL,
  middle_name TEXT NOT NULL,
  business TEXT NOT NULL,
  general TEXT NOT NULL,
  specialty TEXT NOT NULL,
  born TEXT NOT NULL,
  city TEXT NOT NULL,
  state TEXT NOT NULL,
  kind TEXT NOT NULL,
  excluded TEXT NOT NULL,
  reinstated TEXT NOT NULL,
  waived TEXT NOT NULL,
  waiver_state TEXT NOT NULL,
  import_id TEXT NOT NULL
);
CREATE INDEX exclusions_npi ON exclusions (npi) WHERE npi <> '';
CREATE INDEX exclusions_surname ON exclusions (surname);
-- The words of surnames that have several: somebody with a double name may use one half.
CREATE TABLE exclusion_surnames (
  word TEXT NOT NULL,
  exclusion_id TEXT NOT NULL,
  PRIMARY KEY (word, exclusion_id)
);

-- When a verified member was last compared with the registers, and what needs another look. The same
-- finding is raised once, also after somebody has settled it.
CREATE TABLE rechecks (
  account_id TEXT PRIMARY KEY REFERENCES accounts(id),
  checked BIGINT NOT NULL
);
CREATE TABLE flags (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts(id),
  kind TEXT NOT NULL,
  finding TEXT NOT NULL,
  detail_sealed BLOB NOT NULL,
  raised BIGINT NOT NULL,
  settled BIGINT,
  settled_by TEXT,
  note_sealed BLOB,
  UNIQUE (account_id, kind, finding)
);
CREATE INDEX flags_open ON flags (raised) WHERE settled IS NULL;
