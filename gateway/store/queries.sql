-- name: add_account(id, email, name, now)!
INSERT INTO account(id, email, name, created_at) VALUES (:id, :email, :name, :now);

-- name: add_key(id, account_id, hash, now)!
INSERT INTO api_key(id, account_id, hash, created_at) VALUES (:id, :account_id, :hash, :now);

-- name: key_by_hash(hash)^
-- Who sent this key; also a revoked one, so that it can be refused rather than taken as unknown.
SELECT id, account_id, revoked_at FROM api_key WHERE hash = :hash;

-- name: revoke_key(id, account_id, now)^
-- Only an account's own key; once is enough.
UPDATE api_key SET revoked_at = COALESCE(revoked_at, :now) WHERE id = :id AND account_id = :account_id RETURNING id;

-- name: begin_purchase(id, account_id, fmu_id, fmu_sha256, amount, currency, livemode, quote_expires_at, expires_at, success_url, cancel_url, return_code, now)!
-- Somebody began to pay a quote. Repeating it changes nothing: what was first written is what Stripe is told.
INSERT INTO purchase(id, account_id, fmu_id, fmu_sha256, amount, currency, livemode, state, quote_expires_at, expires_at,
                     success_url, cancel_url, return_code, created_at)
VALUES (:id, :account_id, :fmu_id, :fmu_sha256, :amount, :currency, :livemode, 'new', :quote_expires_at, :expires_at,
        :success_url, :cancel_url, :return_code, :now)
ON CONFLICT (id) DO NOTHING;

-- name: purchase(id)^
SELECT * FROM purchase WHERE id = :id;

-- name: terms(id)^
-- What a transfer needs of a purchase beside the amount, which the run has. They never change.
SELECT currency, livemode FROM purchase WHERE id = :id;

-- name: purchase_by_stripe_session(stripe_session_id)^
SELECT * FROM purchase WHERE stripe_session_id = :stripe_session_id;

-- name: purchase_by_payment(payment_intent_id)^
SELECT * FROM purchase WHERE payment_intent_id = :payment_intent_id;

-- name: open_purchase_of(account_id, fmu_sha256, amount, currency, livemode, opening, now)^
-- A keyed caller who asks to pay again gets the purchase that is still open, not a second bill; or the one that another
-- request is opening now (a JSON list of ids). One that nobody could open is left alone: Stripe repeats a stored error.
SELECT * FROM purchase
 WHERE account_id = :account_id AND fmu_sha256 = :fmu_sha256 AND amount = :amount AND currency = :currency
   AND livemode = :livemode AND state IN ('new', 'open') AND quote_expires_at > :now
   AND (state = 'open' OR id IN (SELECT value FROM json_each(:opening)))
 ORDER BY created_at DESC, id LIMIT 1;

-- name: open_purchase(id, stripe_session_id, checkout_url)^
-- Stripe made the session. Only from new: a webhook may have been faster.
UPDATE purchase SET state = 'open', stripe_session_id = :stripe_session_id, checkout_url = :checkout_url
 WHERE id = :id AND state = 'new' RETURNING *;

-- name: move_purchase(id, state, stripe_session_id, from_states)^
-- To processing, expired or failed, from the states named in the JSON list (the table of legal moves).
UPDATE purchase SET state = :state, stripe_session_id = COALESCE(stripe_session_id, :stripe_session_id)
 WHERE id = :id AND state IN (SELECT value FROM json_each(:from_states)) RETURNING *;

-- name: pay_purchase(id, stripe_session_id, payment_intent_id, receipt_url, now)^
-- Late money wins: expired and failed may still become paid. No row: it was paid already, or by another session.
UPDATE purchase SET state = 'paid', stripe_session_id = :stripe_session_id, payment_intent_id = :payment_intent_id,
       receipt_url = :receipt_url, paid_at = :now
 WHERE id = :id AND state <> 'paid' AND COALESCE(stripe_session_id, :stripe_session_id) = :stripe_session_id RETURNING *;

-- name: unsettled_purchases(now, livemode, after_at, after_id)
-- Past the end of their Checkout Session and still undecided: Stripe is asked what became of them. The next hundred:
-- those that stay undecided for days, as bank debits do, must not be in the way of all others.
-- Only those of the mode we run in: the other key knows nothing of them, and they would be in the way for ever.
SELECT id FROM purchase
 WHERE state IN ('new', 'open', 'processing') AND expires_at <= :now AND livemode = :livemode
   AND (expires_at, id) > (:after_at, :after_id)
 ORDER BY expires_at, id LIMIT 100;

-- name: mint_token(id, account_id, expires_at)!
INSERT INTO token(id, purchase_id, account_id, state, expires_at) VALUES (:id, :id, :account_id, 'ready', :expires_at);

-- name: token(id)^
SELECT * FROM token WHERE id = :id;

-- name: next_generation(id, now, expires_at)^
-- The old string stays dead. No row: it was not past its expiry, or is not ready.
UPDATE token SET generation = generation + 1, expires_at = :expires_at
 WHERE id = :id AND state = 'ready' AND expires_at <= :now RETURNING *;

-- name: hold_token(id, run_id, generation, amount, currency, fmu_sha256, livemode, now)!
-- The one statement that decides a race: only one UPDATE finds the token ready, alive, and bought for just this.
UPDATE token SET state = 'held', run_id = :run_id
 WHERE id = :id AND state = 'ready' AND generation = :generation AND expires_at > :now
   AND EXISTS (SELECT 1 FROM purchase p WHERE p.id = token.purchase_id AND p.amount = :amount AND p.currency = :currency
                 AND p.fmu_sha256 = :fmu_sha256 AND p.livemode = :livemode);

-- name: wish_refund(id, reason)^
-- No row: the token is not held (any more). The first reason stays.
UPDATE token SET refund_reason = COALESCE(refund_reason, :reason) WHERE id = :id AND state = 'held' RETURNING id;

-- name: forget_refund_wish(id)!
UPDATE token SET refund_reason = NULL WHERE id = :id;

-- name: settle_token(id, state, run_id)!
-- After a run: spent keeps the run's id and ends the wish for a refund, ready forgets the one and still has the other.
UPDATE token SET state = :state, run_id = :run_id, refund_reason = CASE WHEN :state = 'ready' THEN refund_reason END
 WHERE id = :id AND state = 'held';

-- name: move_token(id, state, from_states)^
UPDATE token SET state = :state WHERE id = :id AND state IN (SELECT value FROM json_each(:from_states)) RETURNING id;

-- name: unspent_tokens(paid_before, livemode)
-- Paid long ago and never spent: the money goes back. Only money of the mode we run in: the other key cannot refund it.
SELECT k.id FROM token k JOIN purchase p ON p.id = k.purchase_id
 WHERE k.state = 'ready' AND p.livemode = :livemode AND p.paid_at <= :paid_before
   AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.ref = p.id AND o.state = 'failed') -- tried: an alarm, for a person
 ORDER BY p.paid_at LIMIT 100;

-- name: start_run(id, payer, account_id, idem_key, digest, source, token_id, fmu_id, fmu_sha256, price, now, keep_until)!
INSERT INTO run(id, payer, account_id, idem_key, digest, source, token_id, fmu_id, fmu_sha256, price, state, started_at, keep_until)
VALUES (:id, :payer, :account_id, :idem_key, :digest, :source, :token_id, :fmu_id, :fmu_sha256, :price, 'running', :now, :keep_until);

-- name: finish_run(id, state, fault, code, detail, result_ref, cpu_ms, wall_ms, now)!
-- The row is then read by its key, which costs half of what RETURNING * does.
UPDATE run SET state = :state, fault = :fault, code = :code, detail = :detail, result_ref = :result_ref,
       cpu_ms = :cpu_ms, wall_ms = :wall_ms, finished_at = :now
 WHERE id = :id AND state = 'running';

-- name: fmu(account_id, sha256)^
SELECT * FROM fmu WHERE account_id = :account_id AND sha256 = :sha256;

-- name: fmus_of(account_id)
SELECT * FROM fmu WHERE account_id = :account_id ORDER BY uploaded_at, sha256;

-- name: add_fmu(account_id, sha256, size, report, uploaded_at, most_bytes)^
-- No row: they would take more space together than there is. A file that several accounts brought counts once.
INSERT INTO fmu(account_id, sha256, size, report, uploaded_at)
SELECT :account_id, :sha256, CAST(:size AS BIGINT), :report, CAST(:uploaded_at AS BIGINT)
 WHERE :size + (SELECT COALESCE(SUM(f.size), 0) FROM (SELECT MAX(size) AS size FROM fmu WHERE sha256 <> :sha256 GROUP BY sha256) AS f) <= :most_bytes
RETURNING sha256;

-- name: remove_fmu(account_id, sha256)^
DELETE FROM fmu WHERE account_id = :account_id AND sha256 = :sha256 RETURNING sha256;

-- name: forget_file(sha256)!
DELETE FROM fmu WHERE sha256 = :sha256;

-- name: fmu_bytes()
SELECT COALESCE(SUM(f.size), 0) AS bytes FROM (SELECT MAX(size) AS size FROM fmu GROUP BY sha256) AS f;

-- name: fmu_files()
SELECT DISTINCT sha256 FROM fmu;

-- name: unpaid_fmus(uploaded_before)
-- Uploads that nobody paid to run, is paying for, or still has a token for.
SELECT f.* FROM fmu f WHERE f.uploaded_at <= :uploaded_before
   AND NOT EXISTS (SELECT 1 FROM purchase p LEFT JOIN token k ON k.purchase_id = p.id
        WHERE p.account_id = f.account_id AND p.fmu_sha256 = f.sha256
          AND (p.state IN ('new', 'open', 'processing') OR (p.state = 'paid' AND k.state NOT IN ('refunding', 'refunded', 'revoked'))))
 ORDER BY f.uploaded_at LIMIT 100;

-- name: run(id)^
SELECT * FROM run WHERE id = :id;

-- name: run_by_key(payer, idem_key)^
-- What an Idempotency-Key was used for, unless it failed.
SELECT * FROM run WHERE payer = :payer AND idem_key = :idem_key AND state IN ('running', 'succeeded');

-- name: pay_answer(payer, idem_key)^
SELECT digest, purchase_id FROM pay_answer WHERE payer = :payer AND idem_key = :idem_key;

-- name: keep_pay_answer(payer, idem_key, digest, purchase_id, now)!
INSERT INTO pay_answer(payer, idem_key, digest, purchase_id, at) VALUES (:payer, :idem_key, :digest, :purchase_id, :now);

-- name: running_runs()
SELECT id FROM run WHERE state = 'running' ORDER BY started_at;

-- name: append_transfer(id, debit, credit, amount, currency, kind, pending_id, ref, now)!
-- Repeating a cause is harmless: its natural key is taken. No row: it was booked before.
INSERT INTO transfer(id, debit, credit, amount, currency, kind, pending_id, ref, at)
VALUES (:id, :debit, :credit, :amount, :currency, :kind, :pending_id, :ref, :now)
ON CONFLICT (id) DO NOTHING;

-- name: transfer(id)^
SELECT * FROM transfer WHERE id = :id;

-- name: balance(acct)^
SELECT amount FROM balance WHERE acct = :acct;

-- name: open_balance(acct)!
INSERT INTO balance(acct, amount) VALUES (:acct, 0) ON CONFLICT (acct) DO NOTHING;

-- name: debit(acct, amount)!
-- An UPDATE, not an upsert: an upsert's CHECK tests the proposed row and would refuse even a rich account.
UPDATE balance SET amount = amount - :amount WHERE acct = :acct;

-- name: credit(acct, amount)!
INSERT INTO balance(acct, amount) VALUES (:acct, :amount)
ON CONFLICT (acct) DO UPDATE SET amount = balance.amount + excluded.amount;

-- name: receive_event(id, type, object_id, body, now)^
-- No row: this event came before.
INSERT INTO inbox(id, type, object_id, state, body, at, next_at) VALUES (:id, :type, :object_id, 'new', :body, :now, :now)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: progress(name)^
SELECT at FROM progress WHERE name = :name;

-- name: set_progress(name, at)!
INSERT INTO progress(name, at) VALUES (:name, :at) ON CONFLICT (name) DO UPDATE SET at = excluded.at;

-- name: event(id)^
SELECT * FROM inbox WHERE id = :id;

-- name: finish_event(id, state, error)!
UPDATE inbox SET state = :state, error = :error, attempts = attempts + 1 WHERE id = :id AND state = 'new';

-- name: postpone_event(id, error, next_at)!
UPDATE inbox SET error = :error, attempts = attempts + 1, next_at = :next_at WHERE id = :id AND state = 'new';

-- name: revive_events(now)!
-- An operator asks: what was given up is tried once more.
UPDATE inbox SET state = 'new', attempts = 0, next_at = :now WHERE state = 'dead';

-- name: due_events(now)
SELECT * FROM inbox WHERE state = 'new' AND next_at <= :now ORDER BY next_at LIMIT 100;

-- name: order_refund(id, ref, attempt, purchase_id, payment_intent_id, amount, currency, livemode, reason, now)!
INSERT INTO outbox(id, kind, ref, attempt, purchase_id, payment_intent_id, amount, currency, livemode, reason, state, at, next_at)
VALUES (:id, 'refund', :ref, :attempt, :purchase_id, :payment_intent_id, :amount, :currency, :livemode, :reason, 'todo', :now, :now);

-- name: order(id)^
SELECT * FROM outbox WHERE id = :id;

-- name: orders_of(ref)^
SELECT count(*) AS n FROM outbox WHERE ref = :ref;

-- name: due_orders(now, livemode)
-- Only of the mode we run in: the other key cannot carry them out.
SELECT * FROM outbox WHERE state = 'todo' AND next_at <= :now AND livemode = :livemode ORDER BY next_at LIMIT 100;

-- name: finish_order(id, remote_id)^
UPDATE outbox SET state = 'done', remote_id = :remote_id, attempts = attempts + 1 WHERE id = :id AND state = 'todo' RETURNING *;

-- name: fail_order(remote_id)^
-- Stripe could not carry out what it had taken. No row: not our order, or known already.
UPDATE outbox SET state = 'failed' WHERE remote_id = :remote_id AND state = 'done' RETURNING *;

-- name: refuse_order(id, error)^
-- Stripe will never carry it out. No row: it is done or void.
UPDATE outbox SET state = 'failed', error = :error, attempts = attempts + 1 WHERE id = :id AND state = 'todo' RETURNING *;

-- name: void_orders(ref)!
-- The money went back by another way, so Stripe must not be told any more.
UPDATE outbox SET state = 'dead', error = 'void' WHERE ref = :ref AND state = 'todo';

-- name: unmatched_of_payment(payment_intent_id)^
-- The first order to send unmatched money back: it says whose it is. No row: the payment is not unmatched.
SELECT * FROM outbox WHERE payment_intent_id = :payment_intent_id AND attempt = 1
   AND NOT EXISTS (SELECT 1 FROM purchase p WHERE p.id = outbox.ref);

-- name: order_of_refund(remote_id)^
SELECT id FROM outbox WHERE remote_id = :remote_id;

-- name: postpone_order(id, error, next_at)!
UPDATE outbox SET error = :error, attempts = attempts + 1, next_at = :next_at WHERE id = :id AND state = 'todo';

-- name: alarms(now)^
-- What somebody should look at: events and orders that are dead or have waited too long (limits in seconds). Each
-- condition is written as its partial index has it, so that no table is scanned however long the shop is open.
SELECT (SELECT count(*) FROM inbox WHERE state = 'dead') AS dead_events,
       (SELECT count(*) FROM inbox WHERE state = 'new' AND at < :now - 60) AS late_events,
       (SELECT count(*) FROM outbox o WHERE state IN ('dead', 'failed') AND state = 'failed' -- until it was ordered again, or the value went elsewhere
           AND NOT EXISTS (SELECT 1 FROM outbox n WHERE n.kind = o.kind AND n.ref = o.ref AND n.attempt > o.attempt)
           AND EXISTS (SELECT 1 FROM balance b WHERE b.acct IN ('token:' || o.ref, 'unmatched:' || o.ref) AND b.amount > 0)
       ) AS failed_refunds,
       (SELECT count(*) FROM balance WHERE acct >= 'unmatched:' AND acct < 'unmatched;' AND amount > 0
           AND acct NOT IN (SELECT 'unmatched:' || ref FROM outbox WHERE state = 'todo')) AS unmatched,
       (SELECT count(*) FROM outbox WHERE state IN ('dead', 'failed') AND state = 'dead' AND COALESCE(error, '') <> 'void') AS dead_orders,
       (SELECT count(*) FROM outbox WHERE state = 'todo' AND at < :now - 900) AS late_orders;
