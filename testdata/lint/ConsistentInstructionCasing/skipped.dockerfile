FROM a
RUN x
# check=skip=ConsistentInstructionCasing
run y
run z
COPY a b
