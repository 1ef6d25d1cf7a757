# check=skip=all
from a AS B
MAINTAINER x
CMD y
