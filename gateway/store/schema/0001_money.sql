-- One schema for SQLite >= 3.35 and, one day, PostgreSQL: TEXT ids, BIGINT micros (millionths of the currency unit),
-- epoch seconds, CHECK enums, partial unique indexes. Every rule about money that a constraint can hold is a constraint.

CREATE TABLE account(
  id TEXT PRIMARY KEY,
  email TEXT,
  name TEXT,
  created_at BIGINT NOT NULL
);

CREATE TABLE api_key(
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES account(id),
  hash TEXT NOT NULL UNIQUE,              -- sha256 of the key; the key itself is shown once and never stored
  created_at BIGINT NOT NULL,
  revoked_at BIGINT
);
CREATE INDEX api_key_made ON api_key(created_at);

-- An upload, private to its account. Its file is kept under its sha256, once for all accounts that brought the same.
CREATE TABLE fmu(
  account_id TEXT NOT NULL REFERENCES account(id),
  sha256 TEXT NOT NULL,
  size BIGINT NOT NULL CHECK(size>0),     -- bytes of the file and of what was unpacked
  report TEXT NOT NULL,                   -- JSON: what its examination found
  uploaded_at BIGINT NOT NULL,
  PRIMARY KEY(account_id,sha256)
);
CREATE INDEX fmu_of_file ON fmu(sha256);

-- A quote that somebody began to pay. Its id is the quote's, Stripe's client_reference_id and the idempotency key.
CREATE TABLE purchase(
  id TEXT PRIMARY KEY,
  account_id TEXT REFERENCES account(id), -- NULL: bought without a key
  kind TEXT NOT NULL DEFAULT 'call' CHECK(kind IN('call')),
  fmu_id TEXT NOT NULL,
  fmu_sha256 TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK(amount>0),
  currency TEXT NOT NULL,
  livemode INTEGER NOT NULL CHECK(livemode IN(0,1)),
  state TEXT NOT NULL CHECK(state IN('new','open','processing','paid','expired','failed')),
  quote_expires_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,             -- of the Checkout Session
  success_url TEXT NOT NULL,
  cancel_url TEXT NOT NULL,
  return_code TEXT NOT NULL,
  stripe_session_id TEXT UNIQUE,
  payment_intent_id TEXT UNIQUE,
  checkout_url TEXT,
  receipt_url TEXT,
  created_at BIGINT NOT NULL,
  paid_at BIGINT,
  CHECK((state='paid')=(paid_at IS NOT NULL)),
  CHECK(state<>'paid' OR stripe_session_id IS NOT NULL OR payment_intent_id IS NOT NULL),
  CHECK(state<>'open' OR (stripe_session_id IS NOT NULL AND checkout_url IS NOT NULL))
);
-- POST /pay gives a keyed caller the purchase that is still open; the reconciler looks for the ones past their end.
CREATE INDEX purchase_open ON purchase(account_id,fmu_sha256,amount) WHERE state IN('new','open');
CREATE INDEX purchase_unsettled ON purchase(expires_at) WHERE state IN('new','open','processing');
-- An account's ledger; the funnel's days.
CREATE INDEX purchase_of ON purchase(account_id) WHERE account_id IS NOT NULL;
CREATE INDEX purchase_made ON purchase(created_at);
CREATE INDEX purchase_paid ON purchase(paid_at) WHERE paid_at IS NOT NULL;

-- What spends a purchase once. The string is a signed (purchase, generation); nothing secret stands here.
CREATE TABLE token(
  id TEXT PRIMARY KEY CHECK(id=purchase_id),
  purchase_id TEXT NOT NULL UNIQUE REFERENCES purchase(id),
  account_id TEXT,
  generation INTEGER NOT NULL DEFAULT 1 CHECK(generation>0),
  state TEXT NOT NULL CHECK(state IN('ready','held','spent','refunding','refunded','frozen','revoked')),
  run_id TEXT,
  expires_at BIGINT NOT NULL,
  refund_reason TEXT,                     -- an operator asked for a refund while it was held: its release orders it
  CHECK((state IN('held','spent'))=(run_id IS NOT NULL))
);

-- One execution; also the usage record: which model, when, how long, how much CPU, how it ended, who.
CREATE TABLE run(
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
  state TEXT NOT NULL CHECK(state IN('running','succeeded','failed')),
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
CREATE UNIQUE INDEX run_idempotency ON run(payer,idem_key) WHERE state IN('running','succeeded'); -- a failed one may be tried again
CREATE UNIQUE INDEX run_one_per_token ON run(token_id) WHERE state IN('running','succeeded');
CREATE INDEX run_running ON run(started_at) WHERE state='running';
CREATE INDEX run_started ON run(started_at); -- the funnel's days

-- Only the world outside (stripe) and what was lost (loss) may be negative.
CREATE TABLE balance(
  acct TEXT PRIMARY KEY,
  amount BIGINT NOT NULL,
  CHECK(amount>=0 OR acct LIKE 'stripe:%' OR acct LIKE 'loss:%')
);

-- Append only, single debit and single credit: balanced by construction. The id is the natural key of the cause.
CREATE TABLE transfer(
  seq INTEGER PRIMARY KEY,                -- the order of booking, also within a second: GET /ledger pages by it
  id TEXT NOT NULL UNIQUE,
  debit TEXT NOT NULL,
  credit TEXT NOT NULL CHECK(credit<>debit),
  amount BIGINT NOT NULL CHECK(amount>0),
  currency TEXT NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN('pay','hold','capture','release','refund','restore','clawback','loss')),
  pending_id TEXT REFERENCES transfer(id),
  ref TEXT NOT NULL,
  at BIGINT NOT NULL,
  CHECK((kind IN('capture','release'))=(pending_id IS NOT NULL))
);
CREATE UNIQUE INDEX transfer_resolves_once ON transfer(pending_id) WHERE pending_id IS NOT NULL; -- captured or released, once
CREATE INDEX transfer_of ON transfer(ref);

-- What POST /pay answered under an Idempotency-Key. The answer follows from the purchase and its session id is signed
-- anew each time, so that nothing that opens anything stands here.
CREATE TABLE pay_answer(
  payer TEXT NOT NULL,                    -- account id, or without one the purchase's id
  idem_key TEXT NOT NULL,
  digest TEXT NOT NULL,                   -- of the request, to tell another one under the same key
  purchase_id TEXT NOT NULL REFERENCES purchase(id),
  at BIGINT NOT NULL,
  PRIMARY KEY(payer,idem_key)
);

-- How many quotes were made on a day (days since 1970-01-01, UTC), added up in memory and written rarely.
CREATE TABLE quotes(
  day BIGINT PRIMARY KEY,
  count BIGINT NOT NULL CHECK(count>0)
);

-- How far we have read what Stripe keeps: epoch seconds by name.
CREATE TABLE progress(
  name TEXT PRIMARY KEY,
  at BIGINT NOT NULL
);

-- Webhook events as they came, committed before they are answered.
CREATE TABLE inbox(
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  object_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK(state IN('new','done','ignored','dead')),
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  body TEXT NOT NULL,
  at BIGINT NOT NULL,
  next_at BIGINT NOT NULL
);
CREATE INDEX inbox_new ON inbox(next_at) WHERE state='new';
CREATE INDEX inbox_dead ON inbox(at) WHERE state='dead';

-- Orders to Stripe; the id is the idempotency key, so an order sent twice is carried out once.
CREATE TABLE outbox(
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK(kind IN('refund')),
  ref TEXT NOT NULL,                      -- the purchase, or the Checkout Session whose money is unmatched
  attempt INTEGER NOT NULL DEFAULT 1,
  payment_intent_id TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK(amount>0),
  currency TEXT NOT NULL,
  livemode INTEGER NOT NULL CHECK(livemode IN(0,1)),
  reason TEXT NOT NULL,
  state TEXT NOT NULL CHECK(state IN('todo','done','dead','failed')), -- failed: Stripe took it and could not carry it out
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  remote_id TEXT UNIQUE,
  at BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  UNIQUE(kind,ref,attempt)
);
CREATE INDEX outbox_todo ON outbox(next_at) WHERE state='todo';
CREATE INDEX outbox_alarm ON outbox(state) WHERE state IN('dead','failed');
