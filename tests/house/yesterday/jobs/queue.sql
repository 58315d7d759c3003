PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE job (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,              -- of the recipe
    recipe TEXT NOT NULL,              -- canonical JSON
    state TEXT NOT NULL,
    created REAL NOT NULL,
    queued REAL NOT NULL,              -- its place in the queue; a resume goes to the end
    started REAL,
    ended REAL,
    sweep TEXT NOT NULL,
    device TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 1,
    stage TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    pid INTEGER,
    born REAL,
    place TEXT,                        -- where pid means something
    heartbeat REAL,
    cancel REAL                        -- when somebody asked it to stop
);
INSERT INTO "job" VALUES(1,'921848aec5bb','23c45987ddb2112750278f62c0e8631156ef07c8a4196319793c81c4874234ce','{"calibration":null,"evaluation":{"divergence":true,"length":64,"limit":100,"tasks":[],"text":"lambada/evaluation","windows":2},"model":{"dtype":"float32","name":"","source":"demo"},"rounding":{"act_order":true,"inputs":"float","interleaving":"layer","method":"rtn"},"scales":{"grouping":"sequential","method":"absmax","objective":"self","refine":false,"signed":false,"storage":"float16"},"seed":0,"weights":null}','finished',1.79556978693181562428e+09,1.79556978693181562428e+09,1.79556978694784712784e+09,1.79556983151451182365e+09,'f13f67f2359b','cpu','finished','d669b3b3773ca6b0',1,'job',0,0,NULL,91714.0,'fb3fec18-788a-48bf-bba0-04abf682bf64 pid:[4026531836]',1.79556983131943225864e+09,NULL);
INSERT INTO "job" VALUES(2,'4996fd5334ef','de3155b2bb62933457486ec6458fdb46cdba490ab297e2e48269b88f13db0166','{"calibration":null,"evaluation":{"divergence":true,"length":64,"limit":100,"tasks":[],"text":"lambada/evaluation","windows":2},"model":{"dtype":"float32","name":"","source":"demo"},"rounding":{"act_order":true,"inputs":"float","interleaving":"layer","method":"rtn"},"scales":{"grouping":"sequential","method":"absmax","objective":"self","refine":false,"signed":false,"storage":"float16"},"seed":0,"weights":{"format":"int8","scale_rounding":"floor"}}','finished',1.79556978693181562428e+09,1.79556978693181562428e+09,1.79556983152741384511e+09,1.79556984646832036968e+09,'f13f67f2359b','cpu','finished','ca2f6ff30204d9b8',1,'job',0,0,NULL,96172.0,'fb3fec18-788a-48bf-bba0-04abf682bf64 pid:[4026531836]',1.7955698464676868916e+09,NULL);
INSERT INTO "job" VALUES(3,'c730fcd7b3c0','4fc261cd20dec1dbf3ac70c661a7c8e0c889d17ede233decd6e09fa39819060d','{"calibration":null,"evaluation":{"divergence":true,"length":64,"limit":100,"tasks":[],"text":"lambada/evaluation","windows":2},"model":{"dtype":"float32","name":"/models/gone","source":"folder"},"rounding":{"act_order":true,"inputs":"float","interleaving":"layer","method":"rtn"},"scales":{"grouping":"sequential","method":"absmax","objective":"self","refine":false,"signed":false,"storage":"float16"},"seed":0,"weights":{"format":"int4","group":64,"scale_rounding":"floor"}}','failed',1.79556978693181562428e+09,1.79556978693181562428e+09,1.79556984647192692753e+09,1.79556984731380796433e+09,'f13f67f2359b','cpu','folder /models/gone does not exist; name a folder with config.json and *.safetensors','',1,'job',0,0,NULL,97667.0,'fb3fec18-788a-48bf-bba0-04abf682bf64 pid:[4026531836]',1.79556984647192692753e+09,NULL);
CREATE UNIQUE INDEX one_live_job_per_recipe
    ON job(digest) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX one_running_job_per_device
    ON job(device) WHERE state = 'running';
CREATE INDEX queue ON job(state, queued);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('job',3);
COMMIT;
