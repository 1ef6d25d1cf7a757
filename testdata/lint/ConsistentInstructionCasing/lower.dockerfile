from a
run x
USER c
