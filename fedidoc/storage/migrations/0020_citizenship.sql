-- Who wants nothing to do with whom. `uri` is the Block activity's id, ours or the peer's.
CREATE TABLE blocks (
  blocker_id TEXT NOT NULL,
  blocked_id TEXT NOT NULL,
  uri TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (blocker_id, blocked_id)
);
CREATE INDEX blocks_blocked ON blocks (blocked_id);

-- What somebody asks the stewards to look at. `reporter_id` is a member's actor, or the actor of
-- another server that passed a report on. The words are sealed: they quote people.
CREATE TABLE reports (
  id TEXT PRIMARY KEY,
  uri TEXT UNIQUE,
  reporter_id TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  words_sealed BLOB NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  forwarded BIGINT NOT NULL DEFAULT 0,
  created BIGINT NOT NULL,
  decided BIGINT,
  decided_by TEXT
);
CREATE INDEX reports_state ON reports (state, id);
CREATE INDEX reports_subject ON reports (subject_id, state);
CREATE TABLE report_posts (
  report_id TEXT NOT NULL REFERENCES reports(id),
  post_id TEXT NOT NULL,
  PRIMARY KEY (report_id, post_id)
);

-- Physicians change hospitals: where an actor went, and which others it says it is.
ALTER TABLE actors ADD COLUMN also_known_as TEXT NOT NULL DEFAULT '';
ALTER TABLE actors ADD COLUMN moved_to TEXT;
