FROM a
COPY --recursive a b
