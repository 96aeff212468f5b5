-- A form that is sent twice makes one post; `once` is the form's own nonce.
ALTER TABLE posts ADD COLUMN once TEXT;
CREATE UNIQUE INDEX posts_once ON posts (author_id, once) WHERE once IS NOT NULL;

-- First pages: cases that wait for an answer, and those of one specialty, newest first.
CREATE INDEX cases_waiting ON cases (state, post_id);
CREATE INDEX cases_specialty ON cases (specialty, post_id);

-- A picture is asked for by its file, and one that no post took in is swept away by its age.
CREATE UNIQUE INDEX media_file ON media (file) WHERE file IS NOT NULL;
CREATE INDEX media_loose ON media (created) WHERE post_id IS NULL;
