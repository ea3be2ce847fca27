// A shop with the Node SDK, part by part. usage: SENTRY_DSN=… node shop.mjs MODULE PART…   Exit status 0: everything was sent and nothing refused.
import http from 'node:http';

const [, , module, ...wanted] = process.argv;
const Sentry = await import(module);

let refused = 0; // answers other than 200, and none at all
const sids = new Set(); // of the sessions that were sent one by one, with a release
let aggregated = 0; // and those that were sent as counts
function note([, items]) {
  for (const [{ type }, body] of items) {
    if (type === 'session' && body.init && body.attrs?.release) sids.add(body.sid);
    for (const counts of type === 'sessions' ? body.aggregates : [])
      for (const name of ['exited', 'errored', 'crashed', 'abnormal']) aggregated += counts[name] ?? 0;
  }
}

function transport(options) {
  const made = Sentry.makeNodeTransport(options);
  const send = made.send.bind(made);
  made.send = async (envelope) => {
    note(envelope);
    try {
      const answer = await send(envelope);
      if (answer.statusCode && answer.statusCode !== 200) refused++;
      return answer;
    } catch (e) {
      refused++;
      throw e;
    }
  };
  return made;
}
process.on('exit', () => console.log(`sessions: ${sids.size + aggregated}`));

const common = {
  dsn: process.env.SENTRY_DSN,
  transport,
  release: 'shop@1.2.3',
  dist: '7',
  environment: 'production',
  serverName: 'web-1',
  tracesSampleRate: 1,
  sendDefaultPii: true,
};
const init = (options = {}) => Sentry.init({ ...common, ...options });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const flush = async () => {
  if (!(await Sentry.flush(20_000))) process.exitCode = 1;
};

function inner(n) {
  const price = { currency: 'EUR', items: [1, 2, 3], password: 'hunter2' };
  throw new TypeError(`no price for item ${n} in ${price.currency}`);
}

function outer(n) {
  try {
    inner(n);
  } catch (e) {
    throw new Error('checkout failed', { cause: e });
  }
}

function capture(f) {
  try {
    f();
  } catch (e) {
    Sentry.captureException(e);
  }
}

const nightly = {
  schedule: { type: 'crontab', value: '0 3 * * *' },
  checkinMargin: 5,
  maxRuntime: 30,
  timezone: 'Europe/Berlin',
  failureIssueThreshold: 2,
  recoveryThreshold: 1,
};

const parts = {
  async errors() {
    init({ includeLocalVariables: true });
    Sentry.setUser({ id: '42', email: 'ann@example.com', username: 'ann', ip_address: '{{auto}}', plan: 'pro' });
    Sentry.setTags({ tenant: 'acme', n: 7, flag: true });
    Sentry.setContext('order', { id: 991, total: 12.5, nested: { a: { b: { c: { d: 1 } } } } });
    Sentry.setExtra('legacy', { k: [1, 2] });
    Sentry.addBreadcrumb({ category: 'ui.click', message: 'checkout', level: 'info', data: { x: 1 } });
    console.log('a console line becomes a breadcrumb');
    for (let i = 0; i < 2; i++) capture(() => inner(i));
    capture(() => outer(7));
    Sentry.captureException(new AggregateError([new Error('one'), new RangeError('two')], 'several'));
    Sentry.captureException('a thrown string');
    Sentry.captureException({ code: 7, nested: { a: 1 } });
    Sentry.captureException(undefined);
    Sentry.captureMessage('cache warmed in 53 ms', 'info');
    Sentry.captureEvent({
      message: 'raw',
      logentry: { message: 'user %s bought %d', params: ['ann', 3] },
      level: 'warning',
      extra: { nan: NaN, inf: Infinity, big: 12345678901234567890n, fn() {}, sym: Symbol('x'), date: new Date(0) },
    });
    Sentry.captureMessage(Sentry.parameterize`user ${'ann'} has ${3} items`);
    Sentry.withScope((scope) => {
      scope.setFingerprint(['{{ default }}', 'payments']);
      scope.setLevel('fatal');
      scope.addAttachment({ filename: 'log.txt', data: 'line one\nline two\n', contentType: 'text/plain' });
      scope.addAttachment({ filename: 'bïn\u{1f600}.dat', data: new Uint8Array([0, 10, 13, 255]) });
      Sentry.captureException(new RangeError('limit exceeded'));
    });
    Sentry.captureFeedback({
      message: 'the button is broken \u{1f41e}',
      email: 'ann@example.com',
      name: 'Ann',
      url: 'http://localhost/cart',
      associatedEventId: Sentry.lastEventId(),
    });
  },
  async unicode() {
    init({ maxValueLength: 200_000 });
    Sentry.captureMessage('emoji \u{1f4a5} and 你好 مرحبا café');
    Sentry.captureMessage('lone surrogate \ud83d end and low \udc00 end');
    Sentry.captureMessage('nul \x00 byte, bell \x07, del \x7f, c1 \x85, ls \u2028');
    Sentry.setTags({ täg: 'väl\u{1f600}', long: 'x'.repeat(300), newline: 'a\nb' });
    Sentry.captureMessage('L'.repeat(100_000));
    Sentry.captureException(new Error('V'.repeat(100_000)));
  },
  async defaults() {
    Sentry.init({ dsn: common.dsn, serverName: 'web-1', transport });
    capture(() => outer(1));
    Sentry.captureMessage('D'.repeat(100_000));
  },
  async trace() {
    init();
    await Sentry.startSpan({ name: 'GET /cart', op: 'http.server', attributes: { 'http.request.method': 'GET' } }, async () => {
      await Sentry.startSpan({ name: 'SELECT * FROM cart', op: 'db', attributes: { 'db.system': 'postgresql', list: ['a', 'b'] } }, () => sleep(5));
      Sentry.startSpan({ name: 'GET http://api/price', op: 'http.client' }, (span) => {
        span.setStatus({ code: 2, message: 'internal_error' });
        capture(() => inner(1));
      });
    });
  },
  async static() { // transactions, as before version 11
    init({ traceLifecycle: 'static' });
    await Sentry.startSpan({ name: 'GET /cart', op: 'http.server' }, async () => {
      await Sentry.startSpan({ name: 'SELECT 1', op: 'db', attributes: { n: 3, f: 0.5, ok: true, list: ['a', 'b'] } }, () => sleep(5));
      capture(() => inner(1));
    });
  },
  async http() {
    init({ enableLogs: true });
    const server = http.createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        if (request.url.startsWith('/fail')) {
          capture(() => outer(3));
          response.statusCode = 500;
        }
        response.end('ok');
      });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${server.address().port}`;
    await fetch(`${base}/ok?a=1`);
    await fetch(`${base}/fail?token=secret&q=%F0%9F%92%A5`, {
      method: 'POST',
      body: JSON.stringify({ card: '4242424242424242' }),
      headers: { 'content-type': 'application/json', cookie: 'session=abc', authorization: 'Bearer xyz', 'x-forwarded-for': '203.0.113.7' },
    });
    server.closeAllConnections();
    server.close();
  },
  async logs() {
    init({ enableLogs: true });
    Sentry.logger.info('user %s signed in', 'ann', { plan: 'pro' });
    Sentry.logger.warn(Sentry.logger.fmt`slow query ${12.5} for ${'ann'} \u{1f422}`, { n: 3, f: 0.5, ok: true, list: ['a', 1], obj: { a: 1 }, nul: null });
    Sentry.logger.error('nul \x00 and surrogate \ud83d in a log');
    Sentry.metrics.count('orders', 1, { attributes: { region: 'eu' } });
    Sentry.metrics.distribution('latency', 12.5, { unit: 'millisecond' });
    Sentry.metrics.gauge('queue', 7);
  },
  async crons() {
    init();
    const id = Sentry.captureCheckIn({ monitorSlug: 'nightly', status: 'in_progress' }, nightly);
    Sentry.captureCheckIn({ monitorSlug: 'nightly', status: 'ok', checkInId: id, duration: 1.5 });
    Sentry.captureCheckIn({ monitorSlug: 'hourly', status: 'error' }, { schedule: { type: 'interval', value: 1, unit: 'hour' } });
    capture(() => Sentry.withMonitor('job', () => {
      throw new Error('the job failed');
    }, nightly));
  },
  async sessions() {
    init();
    Sentry.startSession();
    capture(() => inner(1));
    Sentry.captureSession();
    Sentry.endSession();
  },
  async reports() {
    init({ beforeSend: (event) => (event.message?.startsWith('drop') ? null : event), tracesSampleRate: 0, enableLogs: true, beforeSendLog: () => null });
    for (let i = 0; i < 4; i++) Sentry.captureMessage(`drop me ${i}`);
    Sentry.logger.info('dropped');
    Sentry.startSpan({ name: 'unsampled' }, () => {});
    Sentry.captureMessage('keep me');
  },
  async unhandled() {
    init({ includeLocalVariables: true });
    Sentry.setUser({ id: '42' });
    await sleep(50);
    setTimeout(() => outer(991), 1);
    return true; // the SDK sends what kills the program, and ends it
  },
  async rejection() {
    init();
    Promise.reject(new Error('nobody caught me'));
    await sleep(50);
  },
  async limits() { // one after the other, so that each can heed the answer to the one before
    init({ enableLogs: true });
    for (let i = 0; i < 6; i++) {
      Sentry.captureMessage(`event ${i}`);
      Sentry.startSpan({ name: `t${i}` }, () => {});
      Sentry.logger.info(`log ${i}`);
      await flush();
    }
  },
};

for (const part of wanted) {
  if (await parts[part]()) continue;
  await flush();
  await Sentry.close(20_000);
}
if (refused && !wanted.includes('limits')) {
  console.log(`refused: ${refused}`);
  process.exitCode = 1;
}
