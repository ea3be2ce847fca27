// A program with the Node SDK as anybody would write it. usage: SENTRY_DSN=… node short.mjs MODULE PART; run by test_sdks.py.
const [, , module, part] = process.argv;
const Sentry = await import(module);

const price = (cart) => cart.total.amount;

function checkout(cart) {
  try {
    return price(cart);
  } catch (e) {
    throw new Error(`checkout failed for ${cart.name}`, { cause: e });
  }
}

const parts = {
  handled() {
    Sentry.setUser({ id: '42', email: 'ann@example.com' });
    Sentry.setTag('tenant', 'acme');
    Sentry.addBreadcrumb({ category: 'ui', message: 'clicked', level: 'info' });
    try {
      checkout({ name: 'cart 7' });
    } catch (e) {
      Sentry.captureException(e);
    }
  },
  unhandled() {
    setTimeout(() => checkout({ name: 'cart 8' }), 1);
  },
  messages() {
    Sentry.captureMessage('the cache is warm', 'info');
    Sentry.captureMessage('emoji \u{1f4a5}, half a pair \ud83d, and a NUL \0');
  },
  many() {
    for (let i = 0; i < 60; i++) Sentry.captureException(new RangeError(`one of many kinds: ${i % 2 ? 'even' : 'odd'}`));
  },
  reports() {
    for (let i = 0; i < 3; i++) Sentry.captureMessage(`drop me ${i}`);
    const id = Sentry.captureException(new Error('this one is written about'));
    Sentry.captureFeedback({ message: 'It broke in the cart', name: 'Ann', email: 'ann@example.com', associatedEventId: id });
  },
  async crons() {
    const nightly = { schedule: { type: 'crontab', value: '0 3 * * *' }, timezone: 'Europe/Berlin', checkinMargin: 5, maxRuntime: 20 };
    Sentry.withMonitor('nightly', () => 1, nightly);
    Sentry.withMonitor('hourly', () => 1, { schedule: { type: 'interval', value: 1, unit: 'hour' } });
    await Sentry.flush(20_000); // in one tick both runs begin, on connections that overtake each other: which of them was last?
    try {
      Sentry.withMonitor('nightly', () => checkout({ name: 'cart 9' }), nightly);
    } catch (e) {
      // the monitor has it
    }
  },
  large() {
    Sentry.captureException(new Error('large enough to be packed'), { extra: { filler: 'x'.repeat(100_000) } });
  },
};

const beforeSend = (event) => (event.message?.startsWith('drop me') ? null : event);
Sentry.init({ beforeSend, release: 'shop@1.2.3', environment: 'production', serverName: 'web-1', dsn: process.env.SENTRY_DSN });
await parts[part]();
if (part !== 'unhandled' && !(await Sentry.flush(20_000))) process.exitCode = 1;
