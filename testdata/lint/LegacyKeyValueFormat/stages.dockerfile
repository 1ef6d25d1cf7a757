FROM a
ENV a b=c
ENV a=b c=d
LABEL a b
LABEL a="b c"
ONBUILD ENV a b
ARG a
