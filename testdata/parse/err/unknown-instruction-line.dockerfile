FROM a


RUN x \
  y
ENTRYPINT x
