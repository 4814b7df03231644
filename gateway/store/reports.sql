-- name: transfers_of(account_id, livemode, since, before, after, most)
-- An account's transfers in the order of their booking. Those of its purchases, and of unmatched money meant for them.
WITH purchases AS (SELECT id FROM purchase WHERE account_id = :account_id AND livemode = :livemode),
refs AS (SELECT id AS ref, id AS purchase FROM purchases
         UNION ALL SELECT o.ref, p.id FROM purchases p JOIN outbox o ON o.purchase_id = p.id AND o.attempt = 1)
SELECT t.seq, t.id, t.kind, t.debit, t.credit, t.amount, t.currency, t.at, refs.purchase
  FROM refs JOIN transfer t ON t.ref = refs.ref WHERE t.seq > :after AND t.at >= :since AND t.at < :before
 ORDER BY t.seq LIMIT :most;

-- name: unmatched_for(stripe_session_id)
-- The purchase that a session's unmatched money was meant for. No row: nothing unmatched came through it.
SELECT purchase_id FROM outbox WHERE kind = 'refund' AND ref = :stripe_session_id AND attempt = 1 AND purchase_id IS NOT NULL;

-- name: money_totals()
-- What is with Stripe less what was earned and lost: the sum of all that is owed to buyers, since all balances sum to zero.
SELECT acct, amount FROM balance
 WHERE (acct >= 'stripe:' AND acct < 'stripe;') OR (acct >= 'revenue:' AND acct < 'revenue;') OR (acct >= 'loss:' AND acct < 'loss;');

-- name: money_held()
SELECT p.currency, p.livemode, SUM(r.price) AS amount
  FROM run r JOIN purchase p ON p.id = r.token_id WHERE r.state = 'running' GROUP BY p.currency, p.livemode;

-- name: money_going_back()
-- Ordered and not yet carried out: of tokens, and of unmatched money.
SELECT currency, livemode, SUM(amount) AS amount, SUM(CASE WHEN ref LIKE 'pur_%' THEN amount ELSE 0 END) AS of_tokens
  FROM outbox WHERE state = 'todo' GROUP BY currency, livemode;

-- name: money_unmatched()
-- An unmatched account's currency and mode stand in its purchase, or in the order to give its session's money back.
SELECT COALESCE(p.currency, o.currency) AS currency, COALESCE(p.livemode, o.livemode) AS livemode, SUM(b.amount) AS amount
  FROM balance b LEFT JOIN purchase p ON p.id = substr(b.acct, 11)
  LEFT JOIN outbox o ON o.kind = 'refund' AND o.ref = substr(b.acct, 11) AND o.attempt = 1 AND p.id IS NULL
 WHERE b.acct >= 'unmatched:' AND b.acct < 'unmatched;' AND b.amount > 0
 GROUP BY COALESCE(p.currency, o.currency), COALESCE(p.livemode, o.livemode);

-- name: money_by_payment(stripe)
-- What each payment left with Stripe, by our books; `stripe` is the beginning of its accounts in one mode.
SELECT COALESCE(p.payment_intent_id, o.payment_intent_id) AS payment, t.currency, MIN(t.ref) AS ref,
       SUM(CASE WHEN substr(t.debit, 1, 12) = :stripe THEN t.amount ELSE -t.amount END) AS amount
  FROM transfer t LEFT JOIN purchase p ON p.id = t.ref
  LEFT JOIN outbox o ON o.kind = 'refund' AND o.ref = t.ref AND o.attempt = 1
 WHERE substr(t.debit, 1, 12) = :stripe OR substr(t.credit, 1, 12) = :stripe
 GROUP BY payment, t.currency;

-- name: quotes_by_day(since)
SELECT day, count AS n FROM quotes WHERE day >= :since / 86400;

-- name: keys_by_day(since)
SELECT created_at / 86400 AS day, count(*) AS n FROM api_key WHERE created_at >= :since GROUP BY day;

-- name: checkouts_by_day(since, livemode)
SELECT created_at / 86400 AS day, count(*) AS n FROM purchase
 WHERE created_at >= :since AND livemode = :livemode AND stripe_session_id IS NOT NULL GROUP BY day;

-- name: payments_by_day(since, livemode)
SELECT paid_at / 86400 AS day, count(*) AS n FROM purchase
 WHERE paid_at >= :since AND livemode = :livemode AND paid_at IS NOT NULL GROUP BY day;

-- name: runs_by_day(since, livemode)
-- Runs that succeeded: of all, which leaves out those that the other mode paid for, and of those that were paid for.
SELECT r.started_at / 86400 AS day, count(*) AS n, count(p.id) AS paid
  FROM run r LEFT JOIN purchase p ON p.id = r.token_id
 WHERE r.started_at >= :since AND r.state = 'succeeded' AND (p.id IS NULL OR p.livemode = :livemode) GROUP BY day;

-- name: add_quotes(day, count)!
INSERT INTO quotes(day, count) VALUES (:day, :count) ON CONFLICT (day) DO UPDATE SET count = quotes.count + excluded.count;
