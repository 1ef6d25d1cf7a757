FROM a
HEALTHCHECK --interval=30 CMD x
HEALTHCHECK --interval=1d CMD x
HEALTHCHECK --interval=x CMD x
