FROM scratch
FROM context
FROM a AS SCRATCH
FROM a AS scratchy
COPY --from=context a b
