-- Background tasks, kept behind `tasks::engine`. Read and written by `tasks::engine::sqlite` alone.

CREATE TABLE tasks (
    session TEXT NOT NULL,
    -- Dense within the session, from 1.
    number INTEGER NOT NULL,
    -- Who asks for the same task again names it again.
    key TEXT NOT NULL,
    -- As in `status`; here to be looked for.
    state TEXT NOT NULL,
    -- The store that has the lease; its lock file says whether it lives.
    owner TEXT,
    goal TEXT NOT NULL,
    -- JSON: what the task's events add up to.
    status TEXT NOT NULL,
    -- JSON: what its worker must know beside the goal.
    details TEXT NOT NULL,
    PRIMARY KEY (session, number),
    UNIQUE (session, key)
) STRICT;

CREATE INDEX tasks_by_state ON tasks (session, state, number);

CREATE TABLE task_events (
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    -- Dense within the task, from 1.
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    -- Milliseconds since 1970.
    at INTEGER NOT NULL,
    -- JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (session, number, seq)
) STRICT;

CREATE TABLE task_inbox (
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    -- Dense within the task, from 1.
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    -- JSON.
    content TEXT NOT NULL,
    PRIMARY KEY (session, number, position),
    UNIQUE (session, number, id)
) STRICT;

-- A session is gone when its row in `leases` is.
CREATE TRIGGER tasks_of_a_deleted_session AFTER DELETE ON leases BEGIN
    DELETE FROM tasks WHERE session = OLD.session;
    DELETE FROM task_events WHERE session = OLD.session;
    DELETE FROM task_inbox WHERE session = OLD.session;
END;
