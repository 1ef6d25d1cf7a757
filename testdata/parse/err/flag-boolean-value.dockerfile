FROM a
COPY --link=yes a b
COPY --parents= a b
