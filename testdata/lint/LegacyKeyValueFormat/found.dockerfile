FROM a
ENV A b
LABEL c d e
