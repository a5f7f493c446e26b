-- A store of schema version 3: a finished job with two exports, a paused one that was steered, a proof, a queued job.
BEGIN TRANSACTION;
CREATE TABLE assets (
        id TEXT PRIMARY KEY,             -- SHA-256 of the bytes
        media_type TEXT NOT NULL,
        extension TEXT NOT NULL,
        size INTEGER NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        created REAL NOT NULL
    , name TEXT NOT NULL DEFAULT '');
INSERT INTO "assets" VALUES('b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99','image/png','.png',192,60,40,1000000.0,'cat.png');
CREATE TABLE commands (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        amounts TEXT NOT NULL,           -- JSON
        created REAL NOT NULL
    );
INSERT INTO "commands" VALUES(1,'2222222222222222','set','{"strength": 0.9}',1000000.0);
INSERT INTO "commands" VALUES(2,'2222222222222222','pause','{}',1000000.0);
CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,         -- from 1 in every job, without gaps
        kind TEXT NOT NULL,
        data TEXT NOT NULL,              -- JSON
        created REAL NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
INSERT INTO "events" VALUES('2222222222222222',1,'state','{"state": "queued"}',1000000.0);
INSERT INTO "events" VALUES('2222222222222222',2,'state','{"state": "paused"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',1,'state','{"state": "queued"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',2,'state','{"state": "running"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',3,'planned','{"scales": [{"height": 48, "width": 48, "steps": 3}], "total_steps": 3, "decisions": {"device": "none"}}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',4,'scale','{"index": 0, "count": 1, "height": 48, "width": 48, "steps": 3}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',5,'step','{"step": 1, "scale": 0, "scale_step": 1, "total": 3.0, "losses": {"content": 1.5, "style": 1.5}, "at": 1000000.0, "picture": "preview"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',6,'step','{"step": 2, "scale": 0, "scale_step": 2, "total": 1.5, "losses": {"content": 0.75, "style": 0.75}, "at": 1000000.0, "picture": "preview"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',7,'step','{"step": 3, "scale": 0, "scale_step": 3, "total": 1.0, "losses": {"content": 0.5, "style": 0.5}, "at": 1000000.0, "picture": "preview"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',8,'finished','{"step": 3, "stopped": false, "picture": "final"}',1000000.0);
INSERT INTO "events" VALUES('1111111111111111',9,'state','{"state": "done"}',1000000.0);
INSERT INTO "events" VALUES('3333333333333333',1,'state','{"state": "queued"}',1000000.0);
INSERT INTO "events" VALUES('4444444444444444',1,'state','{"state": "queued"}',1000000.0);
CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        purpose TEXT NOT NULL DEFAULT 'picture' CHECK (purpose IN ('picture', 'proof')),
        state TEXT NOT NULL DEFAULT 'queued'
            CHECK (state IN ('queued', 'running', 'paused', 'done', 'cancelled', 'failed')),
        wanted TEXT NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'stop', 'cancel')),
        pictures TEXT NOT NULL,          -- JSON: which asset plays which part
        options TEXT NOT NULL,           -- JSON
        steering TEXT NOT NULL DEFAULT '{}',
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        worker TEXT,
        token TEXT,                      -- changes with every claim: who holds an old one may write no more
        lease_until REAL,
        failures INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        traceback TEXT,
        step INTEGER NOT NULL DEFAULT 0,
        total_steps INTEGER,
        best_step INTEGER NOT NULL DEFAULT 0,
        obeyed INTEGER NOT NULL DEFAULT 0,  -- number of the last command that the run has obeyed
        last_event INTEGER NOT NULL DEFAULT 0,
        stopped INTEGER NOT NULL DEFAULT 0,
        record TEXT
    );
INSERT INTO "jobs" VALUES(1,'1111111111111111','one','picture','done','run','{"content": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "styles": [{"asset": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "weight": 1.0}]}','{"steps": 3}','{}',1000000.0,1000000.0,1000000.0,NULL,NULL,NULL,0,NULL,NULL,3,3,3,0,9,0,'{"chain": "b6142b7d2a00e97f84b2fa501f5c86f29df5966364c269bd1cd533423b2df0a7"}');
INSERT INTO "jobs" VALUES(2,'2222222222222222','one','picture','paused','pause','{"content": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "styles": [{"asset": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "weight": 1.0}]}','{"steps": 5}','{"strength": 0.9}',1000000.0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,0,NULL,0,0,2,0,NULL);
INSERT INTO "jobs" VALUES(3,'3333333333333333','one','proof','queued','run','{"content": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "styles": [{"asset": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "weight": 1.0}]}','{"steps": 2}','{}',1000000.0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,0,NULL,0,0,1,0,NULL);
INSERT INTO "jobs" VALUES(4,'4444444444444444','one','picture','queued','run','{"content": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "styles": [{"asset": "b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99", "weight": 1.0}]}','{"steps": 2, "seed": 13}','{}',1000000.0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,0,NULL,0,0,1,0,NULL);
CREATE TABLE keepsakes (             -- films and reports of finished jobs, made when asked for
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('film', 'report')),
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'making', 'ready', 'failed')),
        created REAL NOT NULL,
        worker TEXT,
        token TEXT,
        lease_until REAL,
        failures INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        traceback TEXT,
        file TEXT,
        media_type TEXT,
        size INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (job, kind)
    ) WITHOUT ROWID;
INSERT INTO "keepsakes" VALUES('1111111111111111','film','ready',1000000.0,NULL,NULL,NULL,0,NULL,NULL,'film.mp4','video/mp4',17);
INSERT INTO "keepsakes" VALUES('1111111111111111','report','waiting',1000000.0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0);
CREATE TABLE results (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('preview', 'snapshot', 'final')),
        file TEXT NOT NULL,              -- name inside the job's own folder
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        PRIMARY KEY (job, step, kind)
    ) WITHOUT ROWID;
INSERT INTO "results" VALUES('1111111111111111',1,'preview','0000001-preview.png','image/png',185,48,48);
INSERT INTO "results" VALUES('1111111111111111',2,'preview','0000002-preview.png','image/png',183,48,48);
INSERT INTO "results" VALUES('1111111111111111',3,'final','0000003-final.png','image/png',249,48,48);
INSERT INTO "results" VALUES('1111111111111111',3,'preview','0000003-preview.png','image/png',185,48,48);
CREATE TABLE uses (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        asset TEXT NOT NULL REFERENCES assets (id),
        PRIMARY KEY (job, asset)
    ) WITHOUT ROWID;
INSERT INTO "uses" VALUES('2222222222222222','b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99');
INSERT INTO "uses" VALUES('1111111111111111','b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99');
INSERT INTO "uses" VALUES('3333333333333333','b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99');
INSERT INTO "uses" VALUES('4444444444444444','b26a6c5a747ed8a2f5677b9dd14fe1795cff5fd39934e44fc4fcfe3124356f99');
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX jobs_by_client ON jobs (client, started);
CREATE INDEX uses_by_asset ON uses (asset);
CREATE INDEX commands_by_job ON commands (job, number);
CREATE INDEX keepsakes_by_state ON keepsakes (state, created);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',4);
INSERT INTO "sqlite_sequence" VALUES('commands',2);
COMMIT;
PRAGMA user_version = 3;
