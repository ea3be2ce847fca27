"""What the server refused, or never got, as the SDK sees it: `refused` lists the reasons."""
from sentry_sdk.transport import Transport

refused = []


def subclasses(kind):
    for sub in kind.__subclasses__():
        yield sub
        yield from subclasses(sub)


for transport in list(subclasses(Transport)):
    transport.on_dropped_event = lambda self, reason: reason == "self_rate_limits" or refused.append(reason)  # kept back, as asked
