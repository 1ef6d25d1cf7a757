FROM a
ENV =x
ENV A=b =c
LABEL =x
