FROM a
# check=skip=MaintainerDeprecated
MAINTAINER me
