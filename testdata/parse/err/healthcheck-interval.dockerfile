FROM a
HEALTHCHECK --interval=1us CMD x
HEALTHCHECK --timeout=-1s CMD x
HEALTHCHECK --start-period=999us --start-interval=999999ns CMD x
