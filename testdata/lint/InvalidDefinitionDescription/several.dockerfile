# check=skip=all;experimental=InvalidDefinitionDescription
# baz is one of them
ARG foo=1 bar=2 baz=3
# all of them
ARG one two
# Base is not the name
FROM a AS base
# foo: is not foo
ARG foo
# no name
# foo is the last line
ARG foo
# above is nothing to describe
FROM b
# neither is a copy
COPY a b
