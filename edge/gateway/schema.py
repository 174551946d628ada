"""The tables of an outbox file, version by version."""

from __future__ import annotations

MIGRATIONS = (
    """
CREATE TABLE pending (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    camera      TEXT NOT NULL,
    priority    INTEGER NOT NULL,   -- index into PRIORITIES, 0 is the most urgent
    deadline_us INTEGER NOT NULL,   -- the edge's verdict is final from here on
    attempt     INTEGER NOT NULL DEFAULT 0,
    next_us     INTEGER NOT NULL,   -- not sent (again) before
    verdict     BLOB NOT NULL,      -- provisional LineVerdict, JSON
    clip_bytes  INTEGER NOT NULL,
    clip        BLOB NOT NULL
);
CREATE INDEX pending_order ON pending (priority, deadline_us, next_us);
CREATE INDEX pending_times ON pending (next_us, deadline_us, attempt);
CREATE INDEX pending_deadline ON pending (deadline_us);
CREATE INDEX pending_size ON pending (clip_bytes);
CREATE TABLE decided (
    id          BLOB PRIMARY KEY,
    camera      TEXT NOT NULL,
    decided_us  INTEGER NOT NULL,
    open        INTEGER NOT NULL,   -- 1: decided without the cloud, so that its late verdict may still correct it
    verdict     BLOB NOT NULL       -- final LineVerdict, JSON
) WITHOUT ROWID;
CREATE INDEX decided_age ON decided (decided_us);
CREATE TABLE announcement (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    camera      TEXT NOT NULL,
    verdict     BLOB NOT NULL
);
""",
    """
CREATE TABLE clip (                 -- apart: an attempt is noted without writing the clip again
    id          BLOB PRIMARY KEY,
    data        BLOB NOT NULL
);
INSERT INTO clip SELECT id, clip FROM pending;
ALTER TABLE pending DROP COLUMN clip;
ALTER TABLE pending ADD COLUMN confidence REAL NOT NULL DEFAULT 0.0;  -- the edge's: the surer, the less is gained
DROP INDEX pending_size;
CREATE INDEX pending_value ON pending (priority, confidence);
CREATE TABLE clock (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    steady_us   INTEGER NOT NULL,
    wall_us     INTEGER NOT NULL,
    boot_us     INTEGER NOT NULL,
    boot        TEXT NOT NULL
);
""",
    """
ALTER TABLE pending ADD COLUMN accepted_us INTEGER NOT NULL DEFAULT 0;
CREATE INDEX pending_accepted ON pending (accepted_us);
""",
    """
ALTER TABLE pending ADD COLUMN place BLOB NOT NULL DEFAULT x'';   -- of the clip in its file (`clip_file`)
ALTER TABLE pending ADD COLUMN sha256 BLOB NOT NULL DEFAULT x'';  -- of the clip
""",  # ... and `_move_clips`
)
"""What makes an empty file one of version 1, that one of version 2, and so on. All times are steady microseconds."""
CLIPS_APART = 4  # from this version on, clips are not in the database
