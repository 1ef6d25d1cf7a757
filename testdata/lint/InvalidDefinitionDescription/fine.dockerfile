# check=experimental=InvalidDefinitionDescription
# base is what all start from
FROM a AS base
# VERSION is of the program
ARG VERSION

#
ARG OTHER
