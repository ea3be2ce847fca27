SELECT trap_fill(100)
