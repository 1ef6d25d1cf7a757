FROM a
ENV A=b c d=e
LABEL x=y z
