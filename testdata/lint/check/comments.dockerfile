FROM a
# check=skip=JSONArgsRecommended
# why it is skipped
CMD x
# check=what
# check=skip=JSONArgsRecommended
ENTRYPOINT x
# check=skip=MaintainerDeprecated;error=true
MAINTAINER x
# check=skip=all (of them)
maintainer x

# check=skip=MaintainerDeprecated

MAINTAINER x
