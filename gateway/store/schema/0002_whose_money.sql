-- Whose money is unmatched, and more rules about money that a constraint can hold.

-- Of unmatched money the purchase that it was meant for; NULL where `ref` is the purchase itself. And what Stripe took,
-- it gave a name.
ALTER TABLE outbox ADD COLUMN purchase_id TEXT REFERENCES purchase(id) CHECK(state<>'done' OR remote_id IS NOT NULL);
CREATE INDEX outbox_purchase ON outbox(purchase_id) WHERE purchase_id IS NOT NULL;
-- Of earlier money only the reason of its first order says so: 'does not match pur_…: session'.
UPDATE outbox SET purchase_id=
  (SELECT p.id FROM purchase p WHERE p.id=substr(outbox.reason,16,instr(outbox.reason,':')-16))
 WHERE reason LIKE 'does not match pur_%' AND NOT EXISTS(SELECT 1 FROM purchase p WHERE p.id=outbox.ref);
UPDATE outbox SET purchase_id=
  (SELECT f.purchase_id FROM outbox f WHERE f.kind=outbox.kind AND f.ref=outbox.ref AND f.attempt=1)
 WHERE attempt>1;

-- From which account to which a transfer of a kind may go. A generated column with a check costs a redeem a quarter of
-- what a trigger does, and nothing is stored.
ALTER TABLE transfer ADD COLUMN legal INTEGER GENERATED ALWAYS AS(CASE kind
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
  ELSE 0 END) VIRTUAL CHECK(legal=1);

-- Append only. Triggers, since no check sees that a row is changed or removed; booking a transfer does not pass them.
CREATE TRIGGER transfer_unchanged BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT,'a transfer is never changed'); END;
CREATE TRIGGER transfer_kept BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT,'a transfer is never removed'); END;

-- Once it is paid, what was bought, for how much and by whom stands.
CREATE TRIGGER purchase_terms BEFORE UPDATE OF state,account_id,fmu_sha256,amount,currency,livemode ON purchase
WHEN OLD.state='paid' AND (NEW.state<>'paid' OR NEW.account_id IS NOT OLD.account_id OR NEW.fmu_sha256<>OLD.fmu_sha256
  OR NEW.amount<>OLD.amount OR NEW.currency<>OLD.currency OR NEW.livemode<>OLD.livemode)
BEGIN SELECT RAISE(ABORT,'the terms of a paid purchase never change'); END;

-- A token is its purchase's, and so is who may spend it.
CREATE TRIGGER token_owner BEFORE INSERT ON token
WHEN NEW.account_id IS NOT (SELECT account_id FROM purchase WHERE id=NEW.purchase_id)
BEGIN SELECT RAISE(ABORT,'a token is of the account that paid'); END;
CREATE TRIGGER token_owner_stays BEFORE UPDATE OF id,purchase_id,account_id ON token
WHEN NEW.purchase_id<>OLD.purchase_id OR NEW.account_id IS NOT OLD.account_id
BEGIN SELECT RAISE(ABORT,'a token stays with the account that paid'); END;

-- A wish ends with the capture.
UPDATE token SET refund_reason=NULL WHERE state='spent';

-- How far Stripe's events were read, now for each mode: what was read with one key was not with the other.
INSERT INTO progress(name,at) SELECT mode,at FROM progress,(SELECT 'test events' AS mode UNION SELECT 'live events')
 WHERE name='events';
DELETE FROM progress WHERE name='events';
