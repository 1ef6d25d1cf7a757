FROM a
COPY --From=x a b
