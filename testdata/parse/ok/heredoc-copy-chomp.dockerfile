FROM a
COPY <<-f /d/
	a
		b
f
