FROM a
RUN <<A cat - 3<<-B
a
A
	b
	B
