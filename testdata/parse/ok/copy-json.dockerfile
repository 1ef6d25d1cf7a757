FROM a
COPY ["a b", "$C", "/d"]
