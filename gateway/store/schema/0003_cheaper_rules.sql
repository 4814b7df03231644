-- The same rules for less: what a redeem checks and writes was a sixth of what it costs (docs/decisions/0015). A list of
-- more than two in a CHECK is made into an index for each row that is checked, so `OR` stands there; a table WITHOUT
-- ROWID is one tree instead of two; a run without an Idempotency-Key needs no entry among the keys.
-- Neither is to be had by ALTER TABLE, so four tables are made anew.

CREATE TABLE balance_3(
  acct TEXT PRIMARY KEY,
  amount BIGINT NOT NULL,
  CHECK(amount>=0 OR acct GLOB 'stripe:*' OR acct GLOB 'loss:*')
) WITHOUT ROWID;
INSERT INTO balance_3 SELECT acct,amount FROM balance ORDER BY acct;
DROP TABLE balance;
ALTER TABLE balance_3 RENAME TO balance;

CREATE TABLE token_3(
  id TEXT PRIMARY KEY CHECK(id=purchase_id),
  purchase_id TEXT NOT NULL UNIQUE REFERENCES purchase(id),
  account_id TEXT,
  generation INTEGER NOT NULL DEFAULT 1 CHECK(generation>0),
  state TEXT NOT NULL CHECK(state='ready' OR state='held' OR state='spent' OR state='refunding' OR state='refunded'
    OR state='frozen' OR state='revoked'),
  run_id TEXT,
  expires_at BIGINT NOT NULL,
  refund_reason TEXT,                     -- an operator asked for a refund while it was held: its release orders it
  CHECK((state IN('held','spent'))=(run_id IS NOT NULL))
) WITHOUT ROWID;
INSERT INTO token_3 SELECT id,purchase_id,account_id,generation,state,run_id,expires_at,refund_reason FROM token ORDER BY id;
DROP TABLE token;
ALTER TABLE token_3 RENAME TO token;

CREATE TABLE run_3(
  id TEXT PRIMARY KEY,
  payer TEXT NOT NULL,                    -- account id, or token id, or for a keyless free run its own id
  account_id TEXT,
  idem_key TEXT,
  digest TEXT NOT NULL,                   -- of the request, to tell another one under the same key
  source TEXT NOT NULL CHECK(source IN('token','free')),
  token_id TEXT REFERENCES token(id),
  fmu_id TEXT NOT NULL,
  fmu_sha256 TEXT NOT NULL,
  price BIGINT NOT NULL CHECK(price>=0),
  state TEXT NOT NULL CHECK(state='running' OR state='succeeded' OR state='failed'),
  fault TEXT CHECK(fault IN('gateway','model')),
  code TEXT,                              -- of a failed run: the problem's code and detail
  detail TEXT,
  result_ref TEXT,                        -- result_sha256
  started_at BIGINT NOT NULL,
  finished_at BIGINT,
  keep_until BIGINT NOT NULL,             -- the result file is deleted after it
  cpu_ms BIGINT,
  wall_ms BIGINT,
  CHECK((state='succeeded')=(result_ref IS NOT NULL)),
  CHECK((state='failed')=(fault IS NOT NULL)),
  CHECK((state='running')=(finished_at IS NULL)),
  CHECK((source='token')=(token_id IS NOT NULL)),
  CHECK((source='free')=(price=0))
);
INSERT INTO run_3 SELECT id,payer,account_id,idem_key,digest,source,token_id,fmu_id,fmu_sha256,price,state,fault,code,detail,
  result_ref,started_at,finished_at,keep_until,cpu_ms,wall_ms FROM run;
DROP TABLE run;
ALTER TABLE run_3 RENAME TO run;
CREATE UNIQUE INDEX run_idempotency ON run(payer,idem_key)
  WHERE idem_key IS NOT NULL AND state IN('running','succeeded'); -- a failed one may be tried again
CREATE UNIQUE INDEX run_one_per_token ON run(token_id) WHERE state IN('running','succeeded');
CREATE INDEX run_running ON run(started_at) WHERE state='running';
CREATE INDEX run_started ON run(started_at); -- the funnel's days

-- Append only, single debit and single credit: balanced by construction. The id is the natural key of the cause. From
-- which account to which a transfer may go follows from its kind, and a kind that is not listed goes nowhere.
CREATE TABLE transfer_3(
  seq INTEGER PRIMARY KEY,                -- the order of booking, also within a second: GET /ledger pages by it
  id TEXT NOT NULL UNIQUE,
  debit TEXT NOT NULL,
  credit TEXT NOT NULL CHECK(credit<>debit),
  amount BIGINT NOT NULL CHECK(amount>0),
  currency TEXT NOT NULL,
  kind TEXT NOT NULL,
  pending_id TEXT REFERENCES transfer_3(id),
  ref TEXT NOT NULL,
  at BIGINT NOT NULL,
  CHECK((kind IN('capture','release'))=(pending_id IS NOT NULL)),
  CHECK(CASE kind
    WHEN 'hold' THEN debit GLOB 'token:*' AND credit GLOB 'held:*'
    WHEN 'capture' THEN debit GLOB 'held:*' AND credit GLOB 'revenue:*'
    WHEN 'release' THEN debit GLOB 'held:*' AND credit GLOB 'token:*'
    WHEN 'pay' THEN debit GLOB 'stripe:*' AND (credit GLOB 'token:*' OR credit GLOB 'unmatched:*')
    WHEN 'refund' THEN (debit GLOB 'token:*' OR debit GLOB 'unmatched:*')
      AND (credit GLOB 'stripe:*' OR credit GLOB 'revenue:*')
    WHEN 'clawback' THEN (debit GLOB 'token:*' OR debit GLOB 'unmatched:*') AND credit GLOB 'stripe:*'
    WHEN 'loss' THEN debit GLOB 'loss:*' AND credit GLOB 'stripe:*'
    WHEN 'restore' THEN debit GLOB 'stripe:*'
      AND (credit GLOB 'token:*' OR credit GLOB 'unmatched:*' OR credit GLOB 'loss:*')
    ELSE 0 END)
);
INSERT INTO transfer_3 SELECT seq,id,debit,credit,amount,currency,kind,pending_id,ref,at FROM transfer ORDER BY seq;
DROP TABLE transfer;
ALTER TABLE transfer_3 RENAME TO transfer;
CREATE UNIQUE INDEX transfer_resolves_once ON transfer(pending_id) WHERE pending_id IS NOT NULL; -- captured or released, once
CREATE INDEX transfer_of ON transfer(ref);

-- The triggers went with their tables.
CREATE TRIGGER transfer_unchanged BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT,'a transfer is never changed'); END;
CREATE TRIGGER transfer_kept BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT,'a transfer is never removed'); END;
CREATE TRIGGER token_owner BEFORE INSERT ON token
WHEN NEW.account_id IS NOT (SELECT account_id FROM purchase WHERE id=NEW.purchase_id)
BEGIN SELECT RAISE(ABORT,'a token is of the account that paid'); END;
CREATE TRIGGER token_owner_stays BEFORE UPDATE OF id,purchase_id,account_id ON token
WHEN NEW.purchase_id<>OLD.purchase_id OR NEW.account_id IS NOT OLD.account_id
BEGIN SELECT RAISE(ABORT,'a token stays with the account that paid'); END;
