FROM a
ENV A=1 \
    B=2 \
    # c
    C="x \
 y"
