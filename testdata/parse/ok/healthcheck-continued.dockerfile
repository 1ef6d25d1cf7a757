FROM a
HEALTHCHECK --interval=1.5s \
  CMD ["a", \
  "b"]
