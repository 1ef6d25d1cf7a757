FROM a AS base
FROM b
