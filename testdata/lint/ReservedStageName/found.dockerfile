FROM a AS scratch
FROM b AS context
