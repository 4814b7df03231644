-- Each query must return no row, at every moment, whatever was killed. Tests run them after every test that moves money.

-- I1 the books balance: each balance equals the sum of its transfers
SELECT 'I1', a.acct, a.amount FROM balance a
  LEFT JOIN (SELECT credit k, SUM(amount) s FROM transfer GROUP BY credit) c ON c.k=a.acct
  LEFT JOIN (SELECT debit k, SUM(amount) s FROM transfer GROUP BY debit) d ON d.k=a.acct
 WHERE a.amount<>COALESCE(c.s,0)-COALESCE(d.s,0);

-- I2 money is neither made nor lost: all balances sum to zero
SELECT 'I2', s FROM (SELECT SUM(amount) s FROM balance) AS total WHERE s<>0;

-- I3 a paid purchase is credited exactly once, with its own amount and currency; an unpaid one never
SELECT 'I3', p.id FROM purchase p LEFT JOIN transfer t ON t.id='pay:'||p.id
 WHERE (p.state='paid')<>(t.id IS NOT NULL) OR (t.id IS NOT NULL AND (t.amount<>p.amount OR t.currency<>p.currency));

-- I4 a paid purchase has exactly one token, an unpaid one none (UNIQUE(purchase_id) bounds it above)
SELECT 'I4', p.id FROM purchase p LEFT JOIN token k ON k.purchase_id=p.id WHERE (p.state='paid')<>(k.id IS NOT NULL);

-- I5 a token's state agrees with its own ledger account
SELECT 'I5', k.id, k.state, b.amount FROM token k LEFT JOIN balance b ON b.acct='token:'||k.id
 WHERE (k.state IN('ready','refunding'))<>(COALESCE(b.amount,0)>0);

-- I6 at most one successful run per token, and a spent token has one, its own
SELECT 'I6', k.id FROM token k LEFT JOIN run r ON r.token_id=k.id AND r.state='succeeded' GROUP BY k.id, k.state
HAVING COUNT(r.id)>1 OR (k.state='spent')<>(COUNT(r.id)=1) OR (k.state='spent' AND MAX(r.id)<>k.run_id);

-- I6b a held token has a running run, its own, and a running run a held token
SELECT 'I6b', k.id FROM token k LEFT JOIN run r ON r.token_id=k.id AND r.state='running'
 WHERE (k.state='held')<>(r.id IS NOT NULL) OR (k.state='held' AND r.id<>k.run_id);

-- I7 a hold is open exactly while its run is running; captured exactly when it succeeded
SELECT 'I7', r.id, r.state FROM run r JOIN transfer h ON h.id='hold:'||r.id LEFT JOIN transfer x ON x.pending_id=h.id
 WHERE (r.state='running')<>(x.id IS NULL) OR (r.state='succeeded')<>(COALESCE(x.kind,'')='capture');

-- I7b every paid run was held at the purchase's amount, and for the model that was bought
SELECT 'I7b', r.id FROM run r LEFT JOIN transfer h ON h.id='hold:'||r.id LEFT JOIN purchase p ON p.id=r.token_id
 WHERE r.source<>'free' AND (h.id IS NULL OR h.amount<>p.amount OR r.price<>p.amount OR r.fmu_sha256<>p.fmu_sha256);

-- I8 Stripe never gave more of a payment back than came with it
SELECT 'I8', ref FROM transfer WHERE debit LIKE 'stripe:%' OR credit LIKE 'stripe:%' GROUP BY ref
HAVING SUM(CASE WHEN debit LIKE 'stripe:%' THEN amount ELSE -amount END)<0;

-- I8b what comes and goes back does so at Stripe, but for what a person gave back by hand
SELECT 'I8b', id FROM transfer WHERE kind IN('pay','refund','clawback','restore','loss')
   AND debit NOT LIKE 'stripe:%' AND credit NOT LIKE 'stripe:%' AND id NOT LIKE 'otherwise:%';

-- I9 no refund only on paper: every refund booked has its order in the outbox
SELECT 'I9', t.id FROM transfer t LEFT JOIN outbox o ON o.kind='refund' AND o.ref=t.ref WHERE t.kind='refund' AND o.id IS NULL;

-- I11 a token being refunded has its order in the outbox; a done order has a refunded token
SELECT 'I11', k.id, k.state, o.state FROM token k
  LEFT JOIN outbox o ON o.kind='refund' AND o.ref=k.purchase_id
   AND o.attempt=(SELECT MAX(attempt) FROM outbox n WHERE n.kind='refund' AND n.ref=k.purchase_id)
 WHERE (k.state='refunding')<>(COALESCE(o.state,'')='todo') OR (k.state='refunded')<>(COALESCE(o.state,'')='done');

-- I10 unmatched money has an order to go back, or a refund of it failed and a person must look
SELECT 'I10', b.acct, b.amount FROM balance b WHERE b.acct LIKE 'unmatched:cs_%' AND b.amount>0
   AND NOT EXISTS (SELECT 1 FROM outbox o WHERE 'unmatched:'||o.ref=b.acct AND o.state IN('todo','failed'));

-- I12 nothing was ever booked between test and live money
SELECT 'I12', t.id FROM transfer t JOIN purchase p ON p.id=t.ref
 WHERE (p.livemode=1 AND (t.debit LIKE '%:test:%' OR t.credit LIKE '%:test:%'))
    OR (p.livemode=0 AND (t.debit LIKE '%:live:%' OR t.credit LIKE '%:live:%'));
