-- Of what migrations may have left in the session, nothing passes to whoever goes on with it.
DISCARD ALL
