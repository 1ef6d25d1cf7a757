# check=skip=NoEmptyContinuation
FROM a
RUN x \

  y
