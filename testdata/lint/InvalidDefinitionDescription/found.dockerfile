# check=experimental=InvalidDefinitionDescription

# wrong words
ARG A=1
# B is right
ARG B
# base is right
FROM a AS base
# wrong
FROM b AS other
