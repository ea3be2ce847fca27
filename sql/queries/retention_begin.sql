SELECT horizon, at FROM retention_begin()
