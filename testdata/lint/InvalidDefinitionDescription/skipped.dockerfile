# check=experimental=InvalidDefinitionDescription;skip=InvalidDefinitionDescription
# What all start from.
FROM a AS base
