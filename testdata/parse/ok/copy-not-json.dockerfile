FROM a
COPY ['a', 'b']
COPY ["a", "b"] /c
