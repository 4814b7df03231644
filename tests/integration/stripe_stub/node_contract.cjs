// npm stripe, unmodified, against every endpoint of the local Stripe: argv is its URL and the webhook secret; prints one JSON line.
'use strict';
const assert = require('node:assert/strict');
const Stripe = require('stripe');

const [url, secret] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const stripe = new Stripe('sk_test_node', { host: hostname, port, protocol: 'http', telemetry: false, maxNetworkRetries: 0 });

async function control(path, body = {}) {
  const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const order = () => ({
  mode: 'payment', client_reference_id: 'p_1', metadata: { purchase: 'p_1' }, payment_intent_data: { metadata: { purchase: 'p_1' } },
  line_items: [{ quantity: 1, price_data: { currency: 'usd', unit_amount: 100, product_data: { name: 'One run' } } }],
  success_url: 'http://127.0.0.1:9/paid?session={CHECKOUT_SESSION_ID}', adaptive_pricing: { enabled: false },
});

async function main() {
  const { sessions } = stripe.checkout;
  const made = await sessions.create(order(), { idempotencyKey: 'k' });
  assert.equal((await sessions.create(order(), { idempotencyKey: 'k' })).id, made.id);
  await assert.rejects(sessions.create({ ...order(), mode: 'setup' }, { idempotencyKey: 'k' }), { type: 'StripeIdempotencyError' });
  await assert.rejects(sessions.create({ ...order(), foo: 1 }), { type: 'StripeInvalidRequestError', code: 'parameter_unknown', param: 'foo' });
  await assert.rejects(sessions.retrieve('cs_nobody'), { statusCode: 404, code: 'resource_missing' });
  assert.equal((await sessions.update(made.id, { metadata: { a: 'b' } })).metadata.a, 'b');
  assert.equal((await sessions.listLineItems(made.id)).data[0].amount_total, 100);
  await sessions.expire((await sessions.create(order())).id);
  await control(`/_stub/checkout/sessions/${made.id}/pay`, {});
  const paid = await sessions.retrieve(made.id, { expand: ['payment_intent.latest_charge.balance_transaction', 'line_items'] });
  const intent = paid.payment_intent;
  assert.equal(paid.payment_status, 'paid');
  assert.equal(intent.latest_charge.balance_transaction.fee, 33);

  await stripe.paymentIntents.update(intent.id, { metadata: { x: 'y' } });
  assert.equal((await stripe.paymentIntents.list()).data[0].id, intent.id);
  assert.equal((await stripe.paymentIntents.retrieve(intent.id)).metadata.x, 'y');
  await assert.rejects(stripe.paymentIntents.cancel(intent.id), { code: 'payment_intent_unexpected_state' });
  await stripe.charges.update(intent.latest_charge.id, { description: 'd' });
  assert.equal((await stripe.charges.retrieve(intent.latest_charge.id)).description, 'd');
  assert.equal((await stripe.charges.list({ payment_intent: intent.id })).data.length, 1);

  const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 40, reason: 'requested_by_customer' });
  await stripe.refunds.update(refund.id, { metadata: { a: 'b' } });
  assert.equal((await stripe.refunds.retrieve(refund.id)).status, 'succeeded');
  assert.equal((await stripe.refunds.list({ charge: intent.latest_charge.id })).data.length, 1);
  await assert.rejects(stripe.refunds.cancel(refund.id), { type: 'StripeInvalidRequestError' });
  await assert.rejects(stripe.refunds.create({ payment_intent: intent.id, amount: 61 }), { param: 'amount' });

  const dispute = await control(`/_stub/payments/${intent.id}/dispute`, {});
  await stripe.disputes.update(dispute.id, { evidence: { customer_name: 'A' }, submit: false });
  assert.equal((await stripe.disputes.list()).data[0].id, dispute.id);
  assert.equal((await stripe.disputes.close((await stripe.disputes.retrieve(dispute.id)).id)).status, 'lost');

  const ids = [];
  for await (const transaction of stripe.balanceTransactions.list({ limit: 1 })) ids.push(transaction.id);
  assert.equal(ids.length, 3);
  assert.equal((await stripe.balanceTransactions.retrieve(ids[0])).object, 'balance_transaction');
  assert.equal((await stripe.balance.retrieve()).object, 'balance');

  const customer = await stripe.customers.create({ email: 'a@example.com' });
  await stripe.customers.update(customer.id, { name: 'A' });
  assert.equal((await stripe.customers.retrieve(customer.id)).name, 'A');
  assert.equal((await stripe.customers.list({ email: 'a@example.com' })).data.length, 1);
  assert.equal((await stripe.customers.del(customer.id)).deleted, true);

  const endpoint = await stripe.webhookEndpoints.create({ url: 'http://127.0.0.1:9/x', enabled_events: ['charge.refunded'] });
  await stripe.webhookEndpoints.update(endpoint.id, { disabled: true });
  assert.equal((await stripe.webhookEndpoints.retrieve(endpoint.id)).status, 'disabled');
  assert.equal((await stripe.webhookEndpoints.list()).data.length, 2);
  await stripe.webhookEndpoints.del(endpoint.id);

  const all = await stripe.events.list({ limit: 2 }).autoPagingToArray({ limit: 1000 });
  assert.equal((await stripe.events.retrieve(all[0].id)).id, all[0].id);
  await assert.rejects(new Stripe('sk_live_x', { host: hostname, port, protocol: 'http' }).events.list(), { type: 'StripeAuthenticationError' });

  // a webhook as it arrived: read from the test's own receiver over standard input
  let heard = '';
  for await (const part of process.stdin) heard += part;
  const { body, signature } = JSON.parse(heard);
  assert.equal(stripe.webhooks.constructEvent(body, signature, secret).object, 'event');
  for (const [wrongBody, wrongSignature, wrongSecret] of [
    [body + ' ', signature, secret], [body, signature.slice(0, -1), secret], [body, signature, 'whsec_other'],
    [body, signature.replace(/t=\d+/, 't=1'), secret],
  ]) assert.throws(() => stripe.webhooks.constructEvent(wrongBody, wrongSignature, wrongSecret), { type: 'StripeSignatureVerificationError' });
  console.log(JSON.stringify({ version: stripe.getApiField('version'), package: Stripe.PACKAGE_VERSION, events: all.length }));
}

main().catch((error) => { console.error(error); process.exit(1); });
