FROM a
RUN ["a	b"]
RUN [	"a",	"b"]
COPY	a	"b c"	/d
ENV	A=b	C="d	e"
RUN	--network=none	x	y
COPY a b /c
