FROM a
HEALTHCHECK --interval=5m --timeout=3s --start-period=1h1m1s --start-interval=500ms --retries=3 CMD x
