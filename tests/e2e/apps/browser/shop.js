// A shop with the browser SDK. The page's query: dsn, part, tunnel. Tells the server of the page (POST end) what has become of it.
import * as Sentry from '@sentry/browser';

const query = new URLSearchParams(location.search);
const part = query.get('part');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let refused = 0; // answers other than 200, and none at all
function transport(options) {
  const made = Sentry.makeFetchTransport(options);
  const send = made.send.bind(made);
  made.send = async (envelope) => {
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

const common = {
  dsn: query.get('dsn'),
  tunnel: query.get('tunnel') || undefined,
  transport,
  release: 'shop@1.2.3',
  dist: '7',
  environment: 'production',
  tracesSampleRate: 1,
  sendDefaultPii: true,
  enableLogs: true,
};
const init = (options = {}) => Sentry.init({ ...common, ...options });

function inner(n) {
  throw new TypeError(`no price for item ${n}`);
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

const parts = {
  async errors() {
    init();
    Sentry.setUser({ id: '42', email: 'ann@example.com', username: 'ann' });
    Sentry.setTag('tenant', 'acme');
    Sentry.setContext('order', { id: 991, total: 12.5 });
    document.querySelector('#buy').click();
    await fetch('ok.json');
    await fetch('missing.json');
    capture(() => outer(1));
    Sentry.captureMessage('cache warmed in 53 ms', 'info');
    Sentry.withScope((scope) => {
      scope.setFingerprint(['{{ default }}', 'payments']);
      scope.addAttachment({ filename: 'log.txt', data: 'line one\nline two\n', contentType: 'text/plain' });
      scope.addAttachment({ filename: 'bïn\u{1f600}.dat', data: new Uint8Array([0, 10, 13, 255]) });
      Sentry.captureException(new RangeError('limit exceeded'));
    });
    Sentry.captureFeedback({ message: 'the button is broken \u{1f41e}', email: 'ann@example.com', name: 'Ann' }, { includeReplay: false });
    setTimeout(() => outer(991), 1); // nobody catches it
    Promise.reject(new Error('nobody caught me'));
    Promise.reject('a string rejection');
    await sleep(100);
  },
  async unicode() {
    init({ maxValueLength: 200_000 });
    Sentry.captureMessage('emoji \u{1f4a5} and 你好 café');
    Sentry.captureMessage('lone surrogate \ud83d end and low \udc00 end');
    Sentry.captureMessage('nul \x00 byte, bell \x07, ls \u2028');
    Sentry.captureMessage('L'.repeat(100_000));
  },
  async trace() { // a page load, with what the SDK measures of it
    init({ integrations: [Sentry.browserTracingIntegration({ idleTimeout: 100, finalTimeout: 1000 })] });
    await fetch('ok.json');
    Sentry.startSpan({ name: 'compute', op: 'task' }, () => capture(() => inner(1)));
    await sleep(400);
  },
  async static() { // transactions, as before version 11
    init({ traceLifecycle: 'static', integrations: [Sentry.browserTracingIntegration({ idleTimeout: 100, finalTimeout: 1000 })] });
    await fetch('ok.json');
    await sleep(400);
  },
  async logs() {
    init();
    Sentry.logger.info('user %s signed in', 'ann', { plan: 'pro' });
    Sentry.logger.warn(Sentry.logger.fmt`slow query ${12.5}`, { n: 3, ok: true });
    Sentry.metrics.count('orders', 1, { attributes: { region: 'eu' } });
    Sentry.metrics.distribution('latency', 12.5, { unit: 'millisecond' });
  },
  async reports() {
    init({ beforeSend: (event) => (event.message?.startsWith('drop') ? null : event), tracesSampleRate: 0 });
    for (let i = 0; i < 4; i++) Sentry.captureMessage(`drop me ${i}`);
    Sentry.captureMessage('keep me');
  },
  async headers() { // a header of one's own makes the browser ask first (preflight)
    init({ transportOptions: { headers: { 'X-Requested-With': 'shop' } } });
    Sentry.captureMessage('sent after a preflight');
  },
  async limits() { // one after the other, so that each can heed the answer to the one before
    init();
    for (let i = 0; i < 6; i++) {
      Sentry.captureMessage(`event ${i}`);
      Sentry.startSpan({ name: `t${i}` }, () => {});
      Sentry.logger.info(`log ${i}`);
      await Sentry.flush(20_000);
    }
  },
};

async function run() {
  try {
    await parts[part]();
    const flushed = await Sentry.flush(20_000);
    if (!flushed) return 'flush failed';
    return refused && part !== 'limits' ? `refused: ${refused}` : 'done';
  } catch (e) {
    return `failed: ${e}`;
  }
}

const end = await run();
await fetch(`end${location.search}`, { method: 'POST', body: end });
location.replace('about:blank'); // what the SDK has kept for the moment of leaving is sent now
