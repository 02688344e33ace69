-- The tables of sessions. Truth is in `records`, `blobs` and `leases`; `sessions` is an index over them.

-- Instances of the store that hold, or held, leases. Whether one lives says its lock file.
CREATE TABLE owners (
    id     TEXT PRIMARY KEY,
    pid    INTEGER NOT NULL,
    ending INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- A row for each session, for as long as it exists. `owner` is null while nobody has it open; `epoch`
-- counts its openings. A session is removed with its row: tables of others that hang on a
-- session follow by a trigger on its deletion.
CREATE TABLE leases (
    session TEXT PRIMARY KEY,
    owner   TEXT,
    epoch   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_owner ON leases (owner) WHERE owner IS NOT NULL;

-- The journals. `refs` names the strings of `body` that are in `blobs`: a JSON array of pairs of a JSON
-- pointer and a hash.
CREATE TABLE records (
    session TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT NOT NULL,
    refs    TEXT,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;

-- Long strings, once for each session that has them.
CREATE TABLE blobs (
    session TEXT NOT NULL,
    hash    TEXT NOT NULL,
    bytes   BLOB NOT NULL,
    PRIMARY KEY (session, hash)
) STRICT;

-- Folded from the records, in the transaction that writes them. A row without one in `leases`, not
-- listed and with 0 as `updated`, says that something is left of a session that was deleted.
-- `additional`: its other folders, a JSON array of paths; null where there are none. `named`: whether a user
-- chose the title. `parent`: the session whose task it does; null for one of its own. `listed`: whether a
-- list shows it.
CREATE TABLE sessions (
    id      TEXT PRIMARY KEY,
    cwd     TEXT NOT NULL,
    additional TEXT,
    title   TEXT,
    named   INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    prompts INTEGER NOT NULL,
    records INTEGER NOT NULL,
    parent  TEXT,
    listed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_use ON sessions (updated DESC, id DESC) WHERE listed = 1;
CREATE INDEX sessions_by_folder ON sessions (cwd, updated DESC, id DESC) WHERE listed = 1;
CREATE INDEX sessions_empty ON sessions (updated) WHERE listed = 0 AND parent IS NULL;
CREATE INDEX sessions_by_parent ON sessions (parent, updated) WHERE parent IS NOT NULL;
